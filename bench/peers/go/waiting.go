// SPDX-License-Identifier: MIT

// Goroutines that wait.
package main

import (
	"context"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

func runYield() {
	tasks := number("tasks", 1000)
	rounds := number("switches", 20000000) / tasks
	if rounds == 0 {
		rounds = 1
	}
	var ready, done sync.WaitGroup
	var yields int64
	open := make(chan struct{})
	ready.Add(tasks)
	done.Add(tasks)
	for i := 0; i < tasks; i++ {
		go func() {
			ready.Done()
			<-open
			mine := int64(0)
			for ; mine < int64(rounds); mine++ {
				runtime.Gosched()
			}
			atomic.AddInt64(&yields, mine)
			done.Done()
		}()
	}
	ready.Wait()
	start()
	close(open)
	done.Wait()
	stop(rounds * tasks)
	prove("yields", yields, int64(rounds*tasks))
}

func runPingpong() {
	rounds := int64(number("rounds", 2000000))
	there, back := make(chan int64), make(chan int64)
	var wg sync.WaitGroup
	var pings, pongs int64
	wg.Add(2)
	start()
	go func() {
		for ; pongs < rounds; pongs++ {
			back <- <-there
		}
		wg.Done()
	}()
	go func() {
		for i := int64(0); i < rounds; i++ {
			there <- i
			if <-back == i {
				pings++
			}
		}
		wg.Done()
	}()
	wg.Wait()
	stop(int(rounds))
	prove("pings", pings, rounds)
	prove("pongs", pongs, rounds)
}

func runChan() {
	senders, receivers := number("senders", 1), number("receivers", 1)
	each := number("items", 4000000) / senders
	if each == 0 {
		each = 1
	}
	items := make(chan int64, number("capacity", 256))
	var sending, receiving sync.WaitGroup
	var sum, count int64
	sending.Add(senders)
	receiving.Add(receivers)
	start()
	for i := 0; i < receivers; i++ {
		go func() {
			var mySum, myCount int64
			for item := range items {
				mySum += item
				myCount++
			}
			atomic.AddInt64(&sum, mySum)
			atomic.AddInt64(&count, myCount)
			receiving.Done()
		}()
	}
	for i := 0; i < senders; i++ {
		go func() {
			for item := int64(1); item <= int64(each); item++ {
				items <- item
			}
			sending.Done()
		}()
	}
	sending.Wait()
	close(items)
	receiving.Wait()
	stop(each * senders)
	prove("items", count, int64(each*senders))
	prove("sum", sum, int64(senders*(each*(each+1)/2)))
}

// The call that blocks is nanosleep(2), by syscall, which tells the scheduler that it is one; time.Sleep would park.
func runStuck() {
	tasks, length := number("tasks", 20), time.Duration(number("length", 200))*time.Millisecond
	var underWay, worst, ended, holding, over, held int64
	var wg sync.WaitGroup
	wg.Add(tasks + 1)
	start()
	for i := 0; i < tasks; i++ {
		go func() {
			atomic.AddInt64(&underWay, 1)
			for atomic.LoadInt64(&over) == 0 {
				before := time.Now()
				time.Sleep(time.Millisecond)
				late, most := int64(time.Since(before)-time.Millisecond), atomic.LoadInt64(&worst)
				for atomic.LoadInt64(&holding) != 0 && late > most && !atomic.CompareAndSwapInt64(&worst, most, late) {
					most = atomic.LoadInt64(&worst)
				}
			}
			atomic.AddInt64(&ended, 1)
			wg.Done()
		}()
	}
	go func() {
		for atomic.LoadInt64(&underWay) < int64(tasks) {
			time.Sleep(time.Millisecond)
		}
		span := syscall.NsecToTimespec(int64(length))
		before := time.Now()
		atomic.StoreInt64(&holding, 1)
		for err := syscall.EINTR; err == syscall.EINTR; {
			err, _ = syscall.Nanosleep(&span, &span).(syscall.Errno)
		}
		held = int64(time.Since(before))
		time.Sleep(2 * time.Millisecond)
		atomic.StoreInt64(&over, 1)
		wg.Done()
	}()
	wg.Wait()
	stop(0)
	value = float64(worst) / 1e6
	prove("ended", ended, int64(tasks))
	prove("blocked", yes(held >= int64(length)), 1)
}

func runPark() {
	tasks := number("tasks", 1000000)
	var arrived, done sync.WaitGroup
	var woken int64
	open := make(chan struct{})
	start()
	arrived.Add(tasks)
	done.Add(tasks)
	for i := 0; i < tasks; i++ {
		go func() {
			arrived.Done()
			<-open
			atomic.AddInt64(&woken, 1)
			done.Done()
		}()
	}
	arrived.Wait()
	stop(0)
	more["memory"] = figure{"bytes/task", float64(status("VmRSS:")-resident) / float64(tasks)}
	wake := time.Now()
	close(open)
	done.Wait()
	more["wake"] = figure{"ms", float64(time.Since(wake)) / 1e6}
	prove("woken", woken, int64(tasks))
}

func runTimers() {
	tasks, longest := number("tasks", 100000), uint64(number("longest", 1000))*1000000
	state := uint64(number("seed", 1))
	naps := make([]time.Duration, tasks)
	late := make([]float64, tasks)
	for i := range naps {
		naps[i] = time.Duration(random(&state) % longest)
	}
	var wg sync.WaitGroup
	wg.Add(tasks)
	start()
	for i := range naps {
		go func(i int) {
			before := time.Now()
			time.Sleep(naps[i])
			late[i] = float64(time.Since(before)-naps[i]) / 1e3
			wg.Done()
		}(i)
	}
	wg.Wait()
	stop(0)
	value = cpuMs
	early := int64(0)
	for _, one := range late {
		if one < 0 {
			early++
		}
	}
	lateness(late)
	prove("slept", int64(tasks), int64(tasks))
	prove("early", early, 0)
}

func runMutex() {
	tasks, pairs := number("tasks", 1), number("pairs", 20000000)
	if number("inside", 0) != 0 {
		cannot("it has nothing to do inside the lock")
	}
	turns := pairs / tasks
	if turns == 0 {
		turns = 1
	}
	fewer := turns / 10
	if fewer == 0 {
		fewer = 1
	}
	var mutex sync.Mutex
	counter := 0
	var longest time.Duration
	var wg sync.WaitGroup
	wg.Add(tasks)
	start()
	for i := 0; i < tasks; i++ {
		go func() {
			for k := 0; k < turns; k++ {
				mutex.Lock()
				counter++
				mutex.Unlock()
			}
			wg.Done()
		}()
	}
	wg.Wait()
	stop(turns * tasks)
	wg.Add(tasks)
	for i := 0; i < tasks; i++ {
		go func() {
			for k := 0; k < fewer; k++ {
				before := time.Now()
				mutex.Lock()
				if wait := time.Since(before); wait > longest {
					longest = wait
				}
				counter++
				mutex.Unlock()
			}
			wg.Done()
		}()
	}
	wg.Wait()
	more["longest wait"] = figure{"us", float64(longest) / 1e3}
	prove("counter", int64(counter), int64((turns+fewer)*tasks))
}

// ---- threadring: bench/threadring.c ----

func runThreadring() {
	passes, tasks, capacity := int64(number("passes", 5000000)), number("tasks", 503), number("capacity", 0)
	stations := make([]chan int64, tasks)
	for i := range stations {
		stations[i] = make(chan int64, capacity)
	}
	passed := make([]int64, tasks)
	var name, ended int64
	var wg sync.WaitGroup
	start()
	wg.Add(tasks)
	for i := range stations {
		go func(i int) {
			in, out := stations[i], stations[(i+1)%tasks]
			for token := range in {
				if token == 0 {
					name = int64(i + 1)
					break
				}
				passed[i]++
				out <- token - 1
			}
			close(out)
			atomic.AddInt64(&ended, 1)
			wg.Done()
		}(i)
	}
	stations[0] <- passes
	wg.Wait()
	stop(int(passes))
	all := int64(0)
	for _, mine := range passed {
		all += mine
	}
	prove("name", name, passes%int64(tasks)+1)
	prove("passes", all, passes)
	prove("ended", ended, int64(tasks))
}

// ---- chameneos: bench/chameneos.c ----

type creature struct {
	colour         int
	met, metItself int64
	told           chan bool // whether a meeting took place
}

// live goes to the meeting place, a channel without a buffer, at which each offers itself and looks for another at once.
func (self *creature) live(place chan *creature, closed chan struct{}, left *int64) {
	for {
		select {
		case <-closed:
			return
		case place <- self:
			if !<-self.told {
				return
			}
		case other := <-place:
			now := atomic.AddInt64(left, -1)
			if now >= 0 {
				self.meet(other)
			}
			other.told <- now >= 0
			if now == 0 {
				close(closed)
			}
			if now <= 0 {
				return
			}
		}
	}
}

func (self *creature) meet(other *creature) {
	colour := (6 - self.colour - other.colour) % 3
	self.colour, other.colour = colour, colour
	self.met++
	other.met++
	if self == other {
		self.metItself++
	}
}

func coloursOf(creatures []creature) int64 {
	sum := 0
	for i := range creatures {
		sum += creatures[i].colour
	}
	return int64(sum % 3)
}

func runChameneos() {
	const blue, red, yellow = 0, 1, 2
	row := []int{blue, red, yellow, red, yellow, blue, red, yellow, red, blue}
	meetings := int64(number("meetings", 2000000))
	creatures := make([]creature, number("creatures", 10))
	for i := range creatures {
		creatures[i] = creature{colour: row[i%len(row)], told: make(chan bool, 1)}
	}
	before := coloursOf(creatures)
	place, closed, left := make(chan *creature), make(chan struct{}), meetings
	var wg sync.WaitGroup
	start()
	wg.Add(len(creatures))
	for i := range creatures {
		go func(self *creature) {
			self.live(place, closed, &left)
			wg.Done()
		}(&creatures[i])
	}
	wg.Wait()
	stop(int(meetings))
	var met, metItself int64
	for i := range creatures {
		met += creatures[i].met
		metItself += creatures[i].metItself
	}
	prove("met", met, 2*meetings)
	prove("met_itself", metItself, 0)
	prove("colours", coloursOf(creatures), before)
}

// ---- prodcons: bench/prodcons.c ----

type arrived struct{ count, sum, least, most int64 }

func (a *arrived) add(below arrived) {
	a.count += below.count
	a.sum += below.sum
	if below.least < a.least {
		a.least = below.least
	}
	if below.most > a.most {
		a.most = below.most
	}
}

// spread makes fan goroutines, each behind a channel, and a function that awaits what has arrived below them.
func spread(levels, fan, capacity int) ([]chan int64, func() arrived) {
	out := make([]chan int64, fan)
	below := make(chan arrived, fan)
	for i := range out {
		out[i] = make(chan int64, capacity)
		go func(in <-chan int64) { below <- deal(in, levels-1, fan, capacity) }(out[i])
	}
	return out, func() arrived {
		for _, channel := range out {
			close(channel)
		}
		all := <-below
		for i := 1; i < fan; i++ {
			all.add(<-below)
		}
		return all
	}
}

func deal(in <-chan int64, levels, fan, capacity int) arrived {
	if levels == 0 {
		var count, sum int64
		for item := range in {
			count++
			sum += item
		}
		return arrived{count, sum, count, count}
	}
	out, await := spread(levels, fan, capacity)
	turn := 0
	for item := range in {
		out[turn] <- item
		turn = (turn + 1) % fan
	}
	return await()
}

func runProdcons() {
	items, fan, levels := number("items", 500000), number("fan", 4), number("levels", 4)
	start()
	out, await := spread(levels, fan, number("capacity", 64))
	for item := 1; item <= items; item++ {
		out[(item-1)%fan] <- int64(item)
	}
	all := await()
	stop(items * levels)
	prove("items", all.count, int64(items))
	prove("sum", all.sum, int64(items*(items+1)/2))
	prove("dealt_fairly", yes(all.most-all.least <= 1), 1)
}

// ---- select: bench/select.c ----

func runSelect() {
	channels := number("channels", 8)
	each := number("items", 2000000) / channels
	if channels > 8 {
		cannot("it selects among eight channels at most: more than one would write down take reflect.Select")
	}
	if each == 0 {
		each = 1
	}
	var from [8]chan int64 // those that are nil are never ready
	start()
	for i := 0; i < channels; i++ {
		from[i] = make(chan int64, number("capacity", 256))
		go func(to chan<- int64) {
			for item := 1; item <= each; item++ {
				to <- int64(item)
			}
			close(to)
		}(from[i])
	}
	var count, sum int64
	for left := channels; left > 0; {
		var item int64
		var open bool
		var i int
		select {
		case item, open = <-from[0]:
			i = 0
		case item, open = <-from[1]:
			i = 1
		case item, open = <-from[2]:
			i = 2
		case item, open = <-from[3]:
			i = 3
		case item, open = <-from[4]:
			i = 4
		case item, open = <-from[5]:
			i = 5
		case item, open = <-from[6]:
			i = 6
		case item, open = <-from[7]:
			i = 7
		}
		if open {
			count++
			sum += item
		} else {
			from[i] = nil
			left--
		}
	}
	stop(each * channels)
	prove("items", count, int64(each*channels))
	prove("sum", sum, int64(channels*(each*(each+1)/2)))
}

// ---- cancel: bench/cancel.c ----

func runCancel() {
	tasks := number("tasks", 1000000)
	never, cancelled := make(chan struct{}), int64(0)
	ctx, cancel := context.WithCancel(context.Background())
	var arrived, done sync.WaitGroup
	arrived.Add(tasks)
	done.Add(tasks)
	for i := 0; i < tasks; i++ {
		go func() {
			arrived.Done()
			select {
			case <-never:
			case <-ctx.Done():
				atomic.AddInt64(&cancelled, 1)
			}
			done.Done()
		}()
	}
	arrived.Wait()
	start()
	cancel()
	done.Wait()
	stop(0)
	prove("cancelled", cancelled, int64(tasks))
}

// ---- mix: bench/mix.c ----

type sleeper struct {
	state        uint64
	slept, early int64
	late         []float64
}

// sleep sleeps again and again until done is closed.
func (s *sleeper) sleep(longest time.Duration, room int, done <-chan struct{}) {
	timer := time.NewTimer(0)
	<-timer.C
	defer timer.Stop()
	for {
		nap := time.Duration(random(&s.state) % uint64(longest))
		before := time.Now()
		timer.Reset(nap)
		select {
		case <-done:
			return
		case <-timer.C:
		}
		late := time.Since(before) - nap
		s.slept++
		if late < 0 {
			s.early++
		}
		if len(s.late) < room {
			s.late = append(s.late, float64(late)/1e3)
		}
	}
}

func computeAll(units, rounds int) int64 {
	results := make([]uint64, units)
	var wg sync.WaitGroup
	wg.Add(units)
	for i := range results {
		go func(i int) {
			state, result := uint64(i), uint64(0)
			for k := 0; k < rounds; k++ {
				result += random(&state)
			}
			results[i] = result
			wg.Done()
		}(i)
	}
	wg.Wait()
	sum := uint64(0)
	for _, result := range results {
		sum += result
	}
	return int64(sum & math.MaxInt64)
}

func runMix() {
	units, rounds, longest := number("units", 4000), number("rounds", 50000), time.Duration(number("longest", 20))*time.Millisecond
	sleepers := make([]sleeper, number("sleepers", 100))
	before := time.Now()
	sumAlone := computeAll(units, rounds)
	alone := float64(time.Since(before))

	done := make(chan struct{})
	var begun, over sync.WaitGroup
	for i := range sleepers {
		sleepers[i].state = uint64(i)
		begun.Add(1)
		over.Add(1)
		go func(s *sleeper) {
			begun.Done()
			s.sleep(longest, 100000/len(sleepers)+1, done)
			over.Done()
		}(&sleepers[i])
	}
	begun.Wait()
	start()
	sum := computeAll(units, rounds)
	stop(units)
	close(done)
	over.Wait()
	var slept, early int64
	var late []float64
	for i := range sleepers {
		slept += sleepers[i].slept
		early += sleepers[i].early
		late = append(late, sleepers[i].late...)
	}
	value /= 1e3
	more["alone"] = figure{"us/unit", alone / float64(units) / 1e3}
	more["throughput"] = figure{"of alone", alone / 1e6 / wallMs}
	more["sleeps"] = figure{"", float64(slept)}
	if len(late) > 0 {
		lateness(late)
	}
	prove("sum", sum, sumAlone)
	prove("early", early, 0)
}

// ---- rwlock, sem, cond: bench/rwlock.c, sem.c, cond.c ----

func runRwlock() {
	tasks, rounds, readers := number("tasks", 8), number("rounds", 2000000), uint64(number("readers", 95))
	var lock sync.RWMutex
	var first, second, written, torn int64
	var wg sync.WaitGroup
	start()
	wg.Add(tasks)
	for i := 0; i < tasks; i++ {
		go func(dice uint64) {
			var myWritten, myTorn int64
			for k := 0; k < rounds; k++ {
				if random(&dice)%100 < readers {
					lock.RLock()
					if first != second {
						myTorn++
					}
					lock.RUnlock()
				} else {
					lock.Lock()
					first++
					second++
					lock.Unlock()
					myWritten++
				}
			}
			atomic.AddInt64(&written, myWritten)
			atomic.AddInt64(&torn, myTorn)
			wg.Done()
		}(uint64(i))
	}
	wg.Wait()
	stop(rounds * tasks)
	prove("written", first, written)
	prove("torn", torn, 0)
}

// A channel with as many places as there are units is Go's semaphore.
func runSem() {
	tasks, units, pairs := number("tasks", 1), number("units", 1), number("pairs", 20000000)
	turns := pairs / tasks
	if turns == 0 {
		turns = 1
	}
	fewer := turns / 10
	if fewer == 0 {
		fewer = 1
	}
	sem := make(chan struct{}, units)
	var inside, beyond, done int64
	visit := func(turns int, watch bool) {
		var wg sync.WaitGroup
		wg.Add(tasks)
		for i := 0; i < tasks; i++ {
			go func() {
				for k := 0; k < turns; k++ {
					sem <- struct{}{}
					if watch {
						if atomic.AddInt64(&inside, 1) > int64(units) {
							atomic.AddInt64(&beyond, 1)
						}
						atomic.AddInt64(&inside, -1)
					}
					<-sem
				}
				atomic.AddInt64(&done, int64(turns))
				wg.Done()
			}()
		}
		wg.Wait()
	}
	start()
	visit(turns, false)
	stop(turns * tasks)
	visit(fewer, true)
	prove("turns", done, int64((turns+fewer)*tasks))
	prove("beyond", beyond, 0)
	prove("left", int64(cap(sem)-len(sem)), int64(units))
}

func runCond() {
	waiters, rounds := number("waiters", 10000), number("rounds", 5)
	var sum time.Duration
	all := 0
	start()
	for round := 0; round < rounds; round++ {
		var mutex sync.Mutex
		var arrived, done sync.WaitGroup
		var last time.Time
		cond, open, through := sync.NewCond(&mutex), false, 0
		arrived.Add(waiters)
		done.Add(waiters)
		for i := 0; i < waiters; i++ {
			go func() {
				mutex.Lock()
				arrived.Done() // whoever has the mutex after all were counted finds them waiting
				for !open {
					cond.Wait()
				}
				if through++; through == waiters {
					last = time.Now()
				}
				mutex.Unlock()
				done.Done()
			}()
		}
		arrived.Wait()
		mutex.Lock()
		open = true
		mutex.Unlock()
		before := time.Now()
		cond.Broadcast()
		done.Wait()
		sum += last.Sub(before)
		all += through
	}
	stop(0)
	value = float64(sum) / 1e6 / float64(rounds)
	prove("through", int64(all), int64(waiters*rounds))
}
