// SPDX-License-Identifier: MIT

//! Threads over arrays.

use std::sync::atomic::{AtomicI32, AtomicU8, Ordering};
use std::sync::Mutex;
use std::thread::Scope;

use crate::run::{random, share, spawn, Run};

// ---- sort ----

fn merge_serial(a: &[u32], b: &[u32], out: &mut [u32]) {
    let (mut i, mut j) = (0, 0);
    for place in out {
        if j == b.len() || (i < a.len() && a[i] <= b[j]) {
            *place = a[i];
            i += 1;
        } else {
            *place = b[j];
            j += 1;
        }
    }
}

fn sort_serial(a: &mut [u32], b: &mut [u32], over: bool) {
    if a.len() <= 12 {
        for i in 1..a.len() {
            let (value, mut j) = (a[i], i);
            while j > 0 && a[j - 1] > value {
                a[j] = a[j - 1];
                j -= 1;
            }
            a[j] = value;
        }
        if over {
            b.copy_from_slice(a);
        }
        return;
    }
    let half = a.len() / 2;
    {
        let ((a_low, a_high), (b_low, b_high)) = (a.split_at_mut(half), b.split_at_mut(half));
        sort_serial(a_low, b_low, !over);
        sort_serial(a_high, b_high, !over);
    }
    if over {
        merge_serial(&a[..half], &a[half..], b);
    } else {
        merge_serial(&b[..half], &b[half..], a);
    }
}

fn merge(a: &[u32], b: &[u32], out: &mut [u32], grain: usize) {
    let (a, b) = if a.len() < b.len() { (b, a) } else { (a, b) };
    if a.len() + b.len() <= grain {
        merge_serial(a, b, out);
        return;
    }
    let i = a.len() / 2;
    let j = b.partition_point(|&value| value < a[i]);
    let (low, high) = out.split_at_mut(i + j);
    std::thread::scope(|scope| {
        spawn(scope, || merge(&a[..i], &b[..j], low, grain));
        merge(&a[i..], &b[j..], high, grain);
    });
}

fn sort(a: &mut [u32], b: &mut [u32], over: bool, grain: usize) {
    if a.len() <= grain {
        sort_serial(a, b, over);
        return;
    }
    let half = a.len() / 2;
    {
        let ((a_low, a_high), (b_low, b_high)) = (a.split_at_mut(half), b.split_at_mut(half));
        std::thread::scope(|scope| {
            spawn(scope, || sort(a_low, b_low, !over, grain));
            sort(a_high, b_high, !over, grain);
        });
    }
    if over {
        merge(&a[..half], &a[half..], b, grain);
    } else {
        merge(&b[..half], &b[half..], a, grain);
    }
}

fn sums(a: &[u32]) -> (i64, i64) {
    let sum = a.iter().fold(0u64, |sum, &one| sum.wrapping_add(u64::from(one)));
    let squares = a.iter().fold(0u64, |sum, &one| sum.wrapping_add(u64::from(one) * u64::from(one)));
    ((sum & i64::MAX as u64) as i64, (squares & i64::MAX as u64) as i64)
}

pub fn run_sort(run: &mut Run) {
    let (n, grain) = (run.number("n", 10000000), run.number("grain", 16384) as usize);
    let mut state = run.number("seed", 1) as u64;
    let mut a: Vec<u32> = (0..n).map(|_| (random(&mut state) >> 32) as u32).collect();
    let mut b = vec![0u32; n as usize];
    let input = sums(&a);
    run.start();
    sort(&mut a, &mut b, false, grain);
    run.stop(0);
    let output = sums(&a);
    run.prove("ordered", 1 + a.windows(2).filter(|two| two[0] <= two[1]).count() as i64, n);
    run.prove("sum", output.0, input.0);
    run.prove("squares", output.1, input.1);
}

// ---- nbody: bench/nbody.c ----

const REACH: f64 = 7.0;

#[derive(Clone, Copy, Default)]
struct Vector {
    x: f64,
    y: f64,
    z: f64,
}

impl Vector {
    fn squared(&self) -> f64 {
        self.x * self.x + self.y * self.y + self.z * self.z
    }
    /// This and so much of another one.
    fn and(&self, other: &Vector, factor: f64) -> Vector {
        Vector { x: self.x + other.x * factor, y: self.y + other.y * factor, z: self.z + other.z * factor }
    }
}

/// What nobody else looks at.
#[derive(Clone, Copy, Default)]
struct Body {
    speed: Vector,
    id: usize,
    energy: f64,
    near: i64,
}

/// What acts on a body.
#[derive(Default)]
struct Action {
    force: Vector,
    potential: f64,
    near: i64,
}

impl Action {
    fn add(&mut self, me: &Vector, other: &Vector, radius: f64) {
        let (x, y, z) = (me.x - other.x, me.y - other.y, me.z - other.z);
        let squared = x * x + y * y + z * z;
        if squared >= radius * radius || squared == 0.0 {
            return;
        }
        let distance = squared.sqrt();
        let depth = radius - distance;
        let factor = depth / distance;
        self.force.x += factor * x;
        self.force.y += factor * y;
        self.force.z += factor * z;
        self.potential += depth * depth / 2.0;
        self.near += 1;
    }
}

struct World {
    radius: f64,
    dt: f64,
    width: usize,    // cells along an edge of the box
    first: Vec<u32>, // the first body of each cell, and one place more
    at: Vec<Vector>, // of bodies in the order of cells
    bodies: Vec<Body>,
}

impl World {
    fn along(&self, x: f64) -> usize {
        let cell = (x / self.radius).floor() + (self.width / 2) as f64;
        (cell.max(0.0) as usize).min(self.width - 1)
    }
    fn drift(&mut self) {
        for (at, body) in self.at.iter_mut().zip(&self.bodies) {
            at.x += body.speed.x * self.dt / 2.0;
            at.y += body.speed.y * self.dt / 2.0;
            at.z += body.speed.z * self.dt / 2.0;
        }
    }
    fn sort_into_cells(&mut self) {
        let width = self.width;
        let cells: Vec<usize> = self.at.iter().map(|at| (self.along(at.z) * width + self.along(at.y)) * width + self.along(at.x)).collect();
        let mut end = vec![0u32; self.first.len()];
        for &cell in &cells {
            end[cell] += 1;
        }
        for cell in 1..end.len() {
            end[cell] += end[cell - 1];
        }
        let (mut at, mut bodies) = (self.at.clone(), self.bodies.clone());
        for (i, &cell) in cells.iter().enumerate().rev() {
            end[cell] -= 1;
            at[end[cell] as usize] = self.at[i];
            bodies[end[cell] as usize] = self.bodies[i];
        }
        self.first = end; // of each cell the first by now; of the place more, in which nobody is, the end of all
        self.at = at;
        self.bodies = bodies;
    }
    fn look_around(&self, me: &Vector) -> Action {
        let near = |cell: usize| (cell.saturating_sub(1), (cell + 1).min(self.width - 1));
        let (left, right) = near(self.along(me.x));
        let (down, up) = near(self.along(me.y));
        let (front, back) = near(self.along(me.z));
        let mut action = Action::default();
        for z in front..=back {
            for y in down..=up {
                let row = (z * self.width + y) * self.width;
                for other in &self.at[self.first[row + left] as usize..self.first[row + right + 1] as usize] {
                    action.add(me, other, self.radius);
                }
            }
        }
        action
    }
    /// Its speed after this step. Positions stay: others look at them.
    fn kick(&self, me: &Vector, body: &mut Body) {
        let action = self.look_around(me);
        let half = Vector { x: action.force.x * self.dt / 2.0, y: action.force.y * self.dt / 2.0, z: action.force.z * self.dt / 2.0 };
        body.energy = body.speed.and(&half, 1.0).squared() / 2.0 + action.potential / 2.0;
        body.speed = body.speed.and(&action.force, self.dt);
        body.near = action.near;
    }
    fn kick_all(&mut self, workers: i64, grain: usize) {
        let mut bodies = std::mem::take(&mut self.bodies);
        share(workers, self.at.chunks(grain).zip(bodies.chunks_mut(grain)), |(at, bodies)| {
            at.iter().zip(bodies).for_each(|(me, body)| self.kick(me, body));
        });
        self.bodies = bodies;
    }
    /// Neighbours of every stride-th body in the first step, found by comparing it with all others.
    fn count_sample(&mut self, stride: usize) -> i64 {
        let kept = self.at.clone();
        let mut action = Action::default();
        self.drift();
        for me in self.at.iter().step_by(stride) {
            self.at.iter().for_each(|other| action.add(me, other, self.radius));
        }
        self.at = kept;
        action.near
    }
}

fn uniform(state: &mut u64) -> f64 {
    (random(state) >> 11) as f64 / 9007199254740992.0
}

fn somewhere(state: &mut u64) -> Vector {
    loop {
        let far = 1.0 / (uniform(state).powf(-2.0 / 3.0) - 1.0).sqrt();
        let up = 2.0 * uniform(state) - 1.0;
        let round = 2.0 * std::f64::consts::PI * uniform(state);
        let flat = far * (1.0 - up * up).sqrt();
        let at = Vector { x: flat * round.cos(), y: flat * round.sin(), z: far * up };
        if at.squared() < REACH * REACH {
            return at;
        }
    }
}

fn cluster(run: &Run) -> World {
    let (count, radius) = (run.number("bodies", 20000) as usize, run.real("radius", 0.25));
    let width = 2 * (REACH / radius + 1.0).ceil() as usize;
    let (mut state, mut mean) = (run.number("seed", 1) as u64, Vector::default());
    let first = vec![0; width * width * width + 1];
    let mut world = World { radius, dt: run.real("dt", 0.01), width, first, at: Vec::new(), bodies: Vec::new() };
    for id in 0..count {
        world.at.push(somewhere(&mut state));
        let speed = Vector { x: uniform(&mut state), y: uniform(&mut state), z: uniform(&mut state) };
        world.bodies.push(Body { speed, id, ..Body::default() });
        mean.x += speed.x / count as f64;
        mean.y += speed.y / count as f64;
        mean.z += speed.z / count as f64;
    }
    for body in &mut world.bodies {
        body.speed = body.speed.and(&mean, -1.0);
    }
    world
}

pub fn run_nbody(run: &mut Run) {
    let (steps, workers) = (run.number("steps", 20), run.number("workers", 1));
    let grain = match run.number("grain", 0) {
        0 => 64,
        grain => grain as usize,
    };
    let mut world = cluster(run);
    let stride = world.at.len() / 500 + 1;
    let expected = world.count_sample(stride);
    let (mut pairs, mut sampled, mut first_energy, mut energy) = (0, 0, 0.0, 0.0);
    run.start();
    for step in 0..steps {
        world.drift();
        world.sort_into_cells();
        world.kick_all(workers, grain);
        energy = world.bodies.iter().map(|body| body.energy).sum();
        pairs += world.bodies.iter().map(|body| body.near).sum::<i64>();
        if step == 0 {
            first_energy = energy;
            sampled = world.bodies.iter().filter(|body| body.id % stride == 0).map(|body| body.near).sum();
        }
        world.drift();
    }
    run.stop(0);
    let momentum = world.bodies.iter().fold(Vector::default(), |sum, body| sum.and(&body.speed, 1.0));
    let count = world.bodies.len() as f64;
    run.prove("energy_kept", i64::from((energy - first_energy).abs() <= first_energy / 1000.0), 1);
    run.prove("stands_still", i64::from(momentum.squared() < 1e-16 * count * count), 1);
    run.prove("pairs", pairs, pairs);
    run.prove("sampled_pairs", sampled, expected);
}

// ---- wavefront: bench/wavefront.c ----

/// Rows and columns between tiles. Who needs two of them at once is alone with both: so nobody ever waits for a lock.
struct Table {
    across: Vec<Vec<u8>>, // the strings, in pieces as long as a tile
    down: Vec<Vec<u8>>,
    above: Vec<Mutex<Vec<i32>>>, // of each column of tiles the lowest row of cells so far
    left: Vec<Mutex<Vec<i32>>>,  // of each row of them the rightmost column
    corners: Vec<AtomicI32>,     // the cell at the upper left of each tile
    missing: Vec<AtomicU8>,      // how many tiles it waits for
}

impl Table {
    fn new(n: usize, size: usize, across: &[u8], down: &[u8]) -> Table {
        let edge = (n + size - 1) / size;
        let pieces = |letters: &[u8]| letters.chunks(size).map(|piece| piece.to_vec()).collect();
        let cells: Vec<i32> = (1..=n as i32).collect();
        let border = || cells.chunks(size).map(|piece| Mutex::new(piece.to_vec())).collect();
        let corner = |place: usize| if place / edge == 0 || place % edge == 0 { (place / edge + place % edge) * size } else { 0 };
        Table {
            across: pieces(across),
            down: pieces(down),
            above: border(),
            left: border(),
            corners: (0..edge * edge).map(|place| AtomicI32::new(corner(place) as i32)).collect(),
            missing: (0..edge * edge).map(|place| AtomicU8::new(u8::from(place / edge > 0) + u8::from(place % edge > 0))).collect(),
        }
    }
    fn edge(&self) -> usize {
        self.above.len()
    }
    fn compute(&self, i: usize, j: usize) {
        let (mut row, mut column) = (self.above[j].lock().unwrap(), self.left[i].lock().unwrap());
        let mut corner = self.corners[i * self.edge() + j].load(Ordering::Relaxed);
        for (cell, letter) in column.iter_mut().zip(&self.down[i]) {
            let (mut diagonal, mut before) = (corner, *cell);
            corner = before;
            for (cell, other) in row.iter_mut().zip(&self.across[j]) {
                let substituted = diagonal + i32::from(other != letter);
                diagonal = *cell;
                before = substituted.min(diagonal.min(before) + 1);
                *cell = before;
            }
            *cell = before;
        }
        if i + 1 < self.edge() && j + 1 < self.edge() {
            self.corners[(i + 1) * self.edge() + j + 1].store(row[row.len() - 1], Ordering::Relaxed);
        }
    }
    /// Tells a tile that one of those it waits for is done. @return whether it was the last
    fn last_missing(&self, i: usize, j: usize) -> bool {
        i < self.edge() && j < self.edge() && self.missing[i * self.edge() + j].fetch_sub(1, Ordering::AcqRel) == 1
    }
}

/// A tile, and those to its right as long as nobody else is needed for them; the one below is another thread's.
fn fill<'scope>(scope: &'scope Scope<'scope, '_>, table: &'scope Table, i: usize, first: usize) {
    for j in first.. {
        table.compute(i, j);
        if table.last_missing(i + 1, j) {
            spawn(scope, move || fill(scope, table, i + 1, j));
        }
        if !table.last_missing(i, j + 1) {
            return;
        }
    }
}

/// The lowest row of cells in another way: 64 cells of a column are bits that say where they grow and where they shrink.
fn lowest_row(across: &[u8], down: &[u8]) -> Vec<i32> {
    let mut equal = vec![[0u64; 4]; (down.len() + 63) / 64];
    for (y, &letter) in down.iter().enumerate() {
        equal[y / 64][letter as usize] |= 1 << (y % 64);
    }
    let mut words = vec![(!0u64, 0u64); equal.len()];
    let (count, last_bit) = (words.len(), (down.len() - 1) % 64);
    let mut found = down.len() as i32;
    let mut next = |&letter: &u8| {
        let mut difference = 1i32;
        for (i, (word, equal)) in words.iter_mut().zip(&equal).enumerate() {
            let mut same = equal[letter as usize];
            let vertical = same | word.1;
            same |= u64::from(difference < 0);
            let horizontal = ((same & word.0).wrapping_add(word.0) ^ word.0) | same;
            let (plus, minus) = (word.1 | !(horizontal | word.0), word.0 & horizontal);
            let last = if i + 1 < count { 63 } else { last_bit };
            let out = (plus >> last & 1) as i32 - (minus >> last & 1) as i32;
            let (plus, minus) = (plus << 1 | u64::from(difference > 0), minus << 1 | u64::from(difference < 0));
            *word = (minus | !(vertical | plus), plus & vertical);
            difference = out;
        }
        found += difference;
        found
    };
    across.iter().map(&mut next).collect()
}

pub fn run_wavefront(run: &mut Run) {
    let (n, size) = (run.number("n", 16384) as usize, run.number("tile", 256) as usize);
    let mut state = run.number("seed", 1) as u64;
    let letters: Vec<u8> = (0..2 * n).map(|_| (random(&mut state) % 4) as u8).collect();
    let across: Vec<u8> = letters.iter().copied().step_by(2).collect();
    let down: Vec<u8> = letters.iter().copied().skip(1).step_by(2).collect();
    let expected = lowest_row(&across, &down);
    let table = Table::new(n, size, &across, &down);
    run.start();
    std::thread::scope(|scope| fill(scope, &table, 0, 0));
    run.stop(0);
    let row: Vec<i32> = table.above.into_iter().flat_map(|piece| piece.into_inner().unwrap()).collect();
    run.prove("distance", i64::from(row[n - 1]), i64::from(expected[n - 1]));
    run.prove("right", row.iter().zip(&expected).filter(|(got, known)| got == known).count() as i64, n as i64);
}

// ---- histogram: bench/histogram.c ----

type Bins = [u32; 256];

/// Counts into four sets of bins in turn: the same byte twice in a row would wait for its own counter.
fn count(part: &[u8]) -> Bins {
    let mut sets = [[0u32; 256]; 4];
    let fours = part.chunks_exact(4);
    for &one in fours.remainder() {
        sets[0][one as usize] += 1;
    }
    for four in fours {
        for (set, &one) in sets.iter_mut().zip(four) {
            set[one as usize] += 1;
        }
    }
    let mut bins = [0; 256];
    for set in &sets {
        bins.iter_mut().zip(set).for_each(|(bin, times)| *bin += times);
    }
    bins
}

pub fn run_histogram(run: &mut Run) {
    let (bytes, grain) = (run.number("bytes", 100000000), run.number("grain", 65536) as usize);
    let (kind, mut state) = (run.text("data", "uniform"), run.number("seed", 1) as u64);
    let make = |_| match (kind, random(&mut state)) {
        ("same", _) => 170,
        ("skewed", dice) => (dice & dice >> 8 & dice >> 16) as u8,
        (_, dice) => dice as u8,
    };
    let data: Vec<u8> = (0..bytes).map(make).collect();
    let sum = data.iter().map(|&one| i64::from(one)).sum();
    let squares = data.iter().map(|&one| i64::from(one) * i64::from(one)).sum();
    let mut bins = [0i64; 256];
    run.start();
    std::thread::scope(|scope| {
        let parts: Vec<_> = data.chunks(grain).map(|part| spawn(scope, move || count(part))).collect();
        for part in parts {
            bins.iter_mut().zip(part.join().unwrap()).for_each(|(bin, times)| *bin += i64::from(times));
        }
    });
    run.stop(0);
    let binned = || (0i64..).zip(&bins);
    run.prove("bytes", bins.iter().sum(), bytes);
    run.prove("sum", binned().map(|(bin, times)| bin * times).sum(), sum);
    run.prove("squares", binned().map(|(bin, times)| bin * bin * times).sum(), squares);
}
