// SPDX-License-Identifier: MIT

// Goroutines over arrays.
package main

import (
	"math"
	"runtime"
	"sort"
	"sync"
	"sync/atomic"
)

// ---- sort ----

var grain int

func insertionSort(a []uint32) {
	for i := 1; i < len(a); i++ {
		value, j := a[i], i
		for ; j > 0 && a[j-1] > value; j-- {
			a[j] = a[j-1]
		}
		a[j] = value
	}
}

func mergeSerial(a, b, out []uint32) {
	i, j := 0, 0
	for k := range out {
		if j == len(b) || (i < len(a) && a[i] <= b[j]) {
			out[k] = a[i]
			i++
		} else {
			out[k] = b[j]
			j++
		}
	}
}

func sortSerial(a, b []uint32, over bool) {
	if len(a) <= 12 {
		insertionSort(a)
		if over {
			copy(b, a)
		}
		return
	}
	half := len(a) / 2
	sortSerial(a[:half], b[:half], !over)
	sortSerial(a[half:], b[half:], !over)
	if over {
		mergeSerial(a[:half], a[half:], b)
	} else {
		mergeSerial(b[:half], b[half:], a)
	}
}

func merge(a, b, out []uint32) {
	if len(a) < len(b) {
		a, b = b, a
	}
	if len(a)+len(b) <= grain {
		mergeSerial(a, b, out)
		return
	}
	i := len(a) / 2
	j := sort.Search(len(b), func(k int) bool { return b[k] >= a[i] })
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		merge(a[:i], b[:j], out[:i+j])
		wg.Done()
	}()
	merge(a[i:], b[j:], out[i+j:])
	wg.Wait()
}

func mergeSort(a, b []uint32, over bool) {
	if len(a) <= grain {
		sortSerial(a, b, over)
		return
	}
	half := len(a) / 2
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		mergeSort(a[:half], b[:half], !over)
		wg.Done()
	}()
	mergeSort(a[half:], b[half:], !over)
	wg.Wait()
	if over {
		merge(a[:half], a[half:], b)
	} else {
		merge(b[:half], b[half:], a)
	}
}

func sums(a []uint32) (int64, int64) {
	var sum, squares uint64
	for _, value := range a {
		sum += uint64(value)
		squares += uint64(value) * uint64(value)
	}
	return int64(sum & math.MaxInt64), int64(squares & math.MaxInt64)
}

func runSort() {
	n := number("n", 10000000)
	grain = number("grain", 16384)
	state := uint64(number("seed", 1))
	a, b := make([]uint32, n), make([]uint32, n)
	for i := range a {
		a[i] = uint32(random(&state) >> 32)
	}
	inputSum, inputSquares := sums(a)
	start()
	mergeSort(a, b, false)
	stop(0)
	ordered := int64(1)
	for i := 1; i < n; i++ {
		if a[i-1] <= a[i] {
			ordered++
		}
	}
	sum, squares := sums(a)
	prove("ordered", ordered, int64(n))
	prove("sum", sum, inputSum)
	prove("squares", squares, inputSquares)
}

// loop calls body for parts of at most grain of 0 to n, from as many goroutines as there are processors.
func loop(n, grain int, body func(begin, end int)) {
	var next int64
	var wg sync.WaitGroup
	draw := func() {
		for {
			end := int(atomic.AddInt64(&next, int64(grain)))
			begin := end - grain
			if begin >= n {
				return
			}
			if end > n {
				end = n
			}
			body(begin, end)
		}
	}
	for others := runtime.GOMAXPROCS(0) - 1; others > 0; others-- {
		wg.Add(1)
		go func() {
			draw()
			wg.Done()
		}()
	}
	draw()
	wg.Wait()
}

// ---- nbody: bench/nbody.c ----

const reach = 7.0

type vector struct{ x, y, z float64 }

func (v *vector) squared() float64 {
	return float64(v.x*v.x) + float64(v.y*v.y) + float64(v.z*v.z)
}

type body struct {
	at, speed vector
	id        int
}

type world struct {
	radius, dt float64
	width      int // cells along an edge of the box
	now, next  []body
	cell       []int32 // of each body, before sorting
	first      []int32 // the first body of each cell, and one place more
	energy     []float64
	near       []int64
}

func newWorld(bodies int, radius, dt float64) *world {
	width := 2 * int(math.Ceil(reach/radius+1))
	return &world{radius, dt, width, make([]body, bodies), make([]body, bodies), make([]int32, bodies),
		make([]int32, width*width*width+1), make([]float64, bodies), make([]int64, bodies)}
}

func (w *world) along(x float64) int {
	cell := math.Floor(x/w.radius) + float64(w.width/2)
	if cell < 0 {
		return 0
	}
	if cell < float64(w.width) {
		return int(cell)
	}
	return w.width - 1
}

func (w *world) sortIntoCells() {
	for i := range w.first {
		w.first[i] = 0
	}
	for i := range w.now {
		at := &w.now[i].at
		w.cell[i] = int32((w.along(at.z)*w.width+w.along(at.y))*w.width + w.along(at.x))
		w.first[w.cell[i]+1]++
	}
	for i := 1; i < len(w.first); i++ {
		w.first[i] += w.first[i-1]
	}
	for i := len(w.now) - 1; i >= 0; i-- {
		end := &w.first[w.cell[i]+1]
		*end--
		w.next[*end] = w.now[i]
	}
	copy(w.first, w.first[1:])
	w.first[len(w.first)-1] = int32(len(w.now))
	w.now, w.next = w.next, w.now
}

// What acts on a body.
type action struct {
	force     vector
	potential float64
	near      int64
}

func (a *action) add(self, other *vector, radius float64) {
	x, y, z := self.x-other.x, self.y-other.y, self.z-other.z
	squared := float64(x*x) + float64(y*y) + float64(z*z)
	if squared >= radius*radius || squared == 0 {
		return
	}
	distance := math.Sqrt(squared)
	depth := radius - distance
	factor := depth / distance
	a.force.x += float64(factor * x)
	a.force.y += float64(factor * y)
	a.force.z += float64(factor * z)
	a.potential += float64(depth * depth / 2)
	a.near++
}

func (w *world) lookAround(at *vector) (a action) {
	between := func(cell int) (int, int) {
		low, high := cell, cell
		if low > 0 {
			low--
		}
		if high+1 < w.width {
			high++
		}
		return low, high
	}
	left, right := between(w.along(at.x))
	down, up := between(w.along(at.y))
	front, back := between(w.along(at.z))
	for z := front; z <= back; z++ {
		for y := down; y <= up; y++ {
			row := w.first[(z*w.width+y)*w.width:]
			others := w.now[row[left]:row[right+1]]
			for i := range others {
				a.add(at, &others[i].at, w.radius)
			}
		}
	}
	return a
}

func (b *body) drift(dt float64) {
	b.at.x += float64(b.speed.x * dt / 2)
	b.at.y += float64(b.speed.y * dt / 2)
	b.at.z += float64(b.speed.z * dt / 2)
}

func (w *world) driftAll() {
	for i := range w.now {
		w.now[i].drift(w.dt)
	}
}

// kick changes speeds. Positions stay: others look at them.
func (w *world) kick(begin, end int) {
	for i := begin; i < end; i++ {
		b := &w.now[i]
		a := w.lookAround(&b.at)
		middle := vector{b.speed.x + float64(a.force.x*w.dt/2), b.speed.y + float64(a.force.y*w.dt/2), b.speed.z + float64(a.force.z*w.dt/2)}
		b.speed.x += float64(a.force.x * w.dt)
		b.speed.y += float64(a.force.y * w.dt)
		b.speed.z += float64(a.force.z * w.dt)
		w.energy[i] = middle.squared()/2 + a.potential/2
		w.near[i] = a.near
	}
}

func uniform(state *uint64) float64 {
	return float64(random(state)>>11) / (1 << 53)
}

func somewhere(state *uint64) vector {
	for {
		far := 1 / math.Sqrt(math.Pow(uniform(state), -2.0/3)-1)
		up := 2*uniform(state) - 1
		round := 2 * math.Pi * uniform(state)
		flat := far * math.Sqrt(1-float64(up*up))
		at := vector{flat * math.Cos(round), flat * math.Sin(round), far * up}
		if at.squared() < reach*reach {
			return at
		}
	}
}

func cluster(bodies []body, state uint64) {
	var mean vector
	count := float64(len(bodies))
	for i := range bodies {
		at := somewhere(&state)
		speed := vector{uniform(&state), uniform(&state), uniform(&state)}
		bodies[i] = body{at, speed, i}
		mean.x += speed.x / count
		mean.y += speed.y / count
		mean.z += speed.z / count
	}
	for i := range bodies {
		bodies[i].speed.x -= mean.x
		bodies[i].speed.y -= mean.y
		bodies[i].speed.z -= mean.z
	}
}

// countSample counts the neighbours of every stride-th body in the first step by comparing it with all others.
func countSample(initial []body, stride int, radius, dt float64) int64 {
	var a action
	drifted := append([]body(nil), initial...)
	for i := range drifted {
		drifted[i].drift(dt)
	}
	for i := 0; i < len(drifted); i += stride {
		for j := range drifted {
			a.add(&drifted[i].at, &drifted[j].at, radius)
		}
	}
	return a.near
}

func runNbody() {
	bodies, steps, grain := number("bodies", 20000), number("steps", 20), number("grain", 0)
	if grain == 0 {
		grain = 64
	}
	w := newWorld(bodies, float("radius", 0.25), float("dt", 0.01))
	cluster(w.now, uint64(number("seed", 1)))
	stride := bodies/500 + 1
	expected := countSample(w.now, stride, w.radius, w.dt)
	var pairs, sampled int64
	var firstEnergy, energy float64
	start()
	for step := 0; step < steps; step++ {
		w.driftAll()
		w.sortIntoCells()
		loop(bodies, grain, w.kick)
		energy = 0
		for i, near := range w.near {
			energy += w.energy[i]
			pairs += near
			if step == 0 && w.now[i].id%stride == 0 {
				sampled += near
			}
		}
		if step == 0 {
			firstEnergy = energy
		}
		w.driftAll()
	}
	stop(0)
	var sum vector
	for i := range w.now {
		sum.x += w.now[i].speed.x
		sum.y += w.now[i].speed.y
		sum.z += w.now[i].speed.z
	}
	prove("energy_kept", yes(math.Abs(energy-firstEnergy) <= firstEnergy/1000), 1)
	prove("stands_still", yes(sum.squared() < 1e-16*float64(bodies)*float64(bodies)), 1)
	prove("pairs", pairs, pairs)
	prove("sampled_pairs", sampled, expected)
}

// ---- wavefront: bench/wavefront.c ----

type table struct {
	n, size, edge int
	across, down  []uint8
	above, left   []int32 // the lowest row and the rightmost column of cells so far
	corners       []int32 // the cell at the upper left of each tile
}

func least(a, b int32) int32 {
	if a < b {
		return a
	}
	return b
}

func (t *table) compute(i, j int) {
	x0, y0 := j*t.size, i*t.size
	width, height := t.size, t.size
	if t.n-x0 < width {
		width = t.n - x0
	}
	if t.n-y0 < height {
		height = t.n - y0
	}
	row, column := t.above[x0:][:width], t.left[y0:][:height]
	across, down := t.across[x0:][:width], t.down[y0:][:height]
	corner := t.corners[i*t.edge+j]
	for y, before := range column {
		diagonal := corner
		corner = before
		letter := down[y]
		for x, up := range row {
			if across[x] != letter {
				diagonal++
			}
			before = least(diagonal, least(up, before)+1)
			diagonal = up
			row[x] = before
		}
		column[y] = before
	}
	if i+1 < t.edge && j+1 < t.edge {
		t.corners[(i+1)*t.edge+j+1] = row[width-1]
	}
}

func newTable(n, size int, across, down []uint8) *table {
	edge := (n + size - 1) / size
	t := &table{n, size, edge, across, down, make([]int32, n), make([]int32, n), make([]int32, edge*edge)}
	for x := range t.above {
		t.above[x], t.left[x] = int32(x+1), int32(x+1)
	}
	for i := 0; i < edge; i++ {
		t.corners[i], t.corners[i*edge] = int32(i*size), int32(i*size)
	}
	return t
}

// lowestRow finds the lowest row of cells in another way: 64 cells of a column are bits that say where they grow and where they shrink.
func lowestRow(n int, across, down []uint8) []int32 {
	type word struct{ plus, minus uint64 }
	count := (n + 63) / 64
	equal := make([][4]uint64, count)
	words := make([]word, count)
	for y, letter := range down {
		equal[y/64][letter] |= 1 << (y % 64)
	}
	for i := range words {
		words[i].plus = ^uint64(0)
	}
	row, found := make([]int32, n), int32(n)
	for x, letter := range across {
		in := 1
		for i := range words {
			w, same := &words[i], equal[i][letter]
			vertical := same | w.minus
			if in < 0 {
				same |= 1
			}
			horizontal := (((same & w.plus) + w.plus) ^ w.plus) | same
			plus, minus := w.minus|^(horizontal|w.plus), w.plus&horizontal
			last := uint(63)
			if i+1 == count {
				last = uint((n - 1) % 64)
			}
			out := int(plus>>last&1) - int(minus>>last&1)
			plus, minus = plus<<1, minus<<1
			if in > 0 {
				plus |= 1
			} else if in < 0 {
				minus |= 1
			}
			w.plus, w.minus = minus|^(vertical|plus), plus&vertical
			in = out
		}
		found += int32(in)
		row[x] = found
	}
	return row
}

func runWavefront() {
	n, size := number("n", 16384), number("tile", 256)
	state := uint64(number("seed", 1))
	across, down := make([]uint8, n), make([]uint8, n)
	for i := range across {
		across[i] = uint8(random(&state) % 4)
		down[i] = uint8(random(&state) % 4)
	}
	expected := lowestRow(n, across, down)
	t := newTable(n, size, across, down)
	start()
	done := make([]chan struct{}, t.edge*t.edge)
	for i := range done {
		done[i] = make(chan struct{})
	}
	for place := range done {
		go func(i, j int) {
			if i > 0 {
				<-done[(i-1)*t.edge+j]
			}
			if j > 0 {
				<-done[i*t.edge+j-1]
			}
			t.compute(i, j)
			close(done[i*t.edge+j])
		}(place/t.edge, place%t.edge)
	}
	<-done[len(done)-1]
	stop(0)
	var right int64
	for x := range expected {
		right += yes(t.above[x] == expected[x])
	}
	prove("distance", int64(t.above[n-1]), int64(expected[n-1]))
	prove("right", right, int64(n))
}

// ---- histogram: bench/histogram.c ----

// countBytes counts into four sets of bins in turn: the same byte twice in a row would wait for its own counter.
func countBytes(part []byte) (bins [256]uint32) {
	var sets [4][256]uint32
	for ; len(part) >= 4; part = part[4:] {
		sets[0][part[0]]++
		sets[1][part[1]]++
		sets[2][part[2]]++
		sets[3][part[3]]++
	}
	for _, one := range part {
		sets[0][one]++
	}
	for i := range bins {
		bins[i] = sets[0][i] + sets[1][i] + sets[2][i] + sets[3][i]
	}
	return bins
}

func runHistogram() {
	count, grain := number("bytes", 100000000), number("grain", 65536)
	kind := text("data", "uniform")
	state := uint64(number("seed", 1))
	data := make([]byte, count)
	var sum, squares int64
	for i := range data {
		dice := random(&state)
		switch kind {
		case "skewed":
			dice &= dice >> 8 & (dice >> 16)
		case "same":
			dice = 170
		}
		data[i] = byte(dice)
		sum += int64(data[i])
		squares += int64(data[i]) * int64(data[i])
	}
	var bins [256]int64
	start()
	var mutex sync.Mutex
	var wg sync.WaitGroup
	for rest := data; len(rest) > 0; {
		length := grain
		if len(rest) < length {
			length = len(rest)
		}
		wg.Add(1)
		go func(part []byte) {
			counted := countBytes(part)
			mutex.Lock()
			for i, times := range counted {
				bins[i] += int64(times)
			}
			mutex.Unlock()
			wg.Done()
		}(rest[:length])
		rest = rest[length:]
	}
	wg.Wait()
	stop(0)
	var bytes, gotSum, gotSquares int64
	for i, times := range bins {
		bytes += times
		gotSum += int64(i) * times
		gotSquares += int64(i) * int64(i) * times
	}
	prove("bytes", bytes, int64(count))
	prove("sum", gotSum, sum)
	prove("squares", gotSquares, squares)
}
