// SPDX-License-Identifier: MIT

//! Threads over matrices.

use std::marker::PhantomData;
use std::sync::{Arc, Condvar, Mutex};

use crate::run::{cannot, random, share, spawn, Run};

const PAD: usize = 8;

// ---- parts of matrices ----

/// To read: row by row, `step` apart.
#[derive(Clone, Copy)]
struct View<'a> {
    at: &'a [f64],
    rows: usize,
    columns: usize,
    step: usize,
}

impl<'a> View<'a> {
    fn row(&self, i: usize) -> &'a [f64] {
        &self.at[i * self.step..][..self.columns]
    }
    fn part(&self, row: usize, column: usize, rows: usize, columns: usize) -> View<'a> {
        View { at: &self.at[row * self.step + column..], rows, columns, step: self.step }
    }
    fn quarter(&self, i: usize, j: usize) -> View<'a> {
        let half = self.rows / 2;
        self.part(i * half, j * half, half, half)
    }
}

/// To write. Two rectangles side by side lie between each other in memory, which no slice can say: so this is a pointer, and what is split
/// off goes its own way.
struct Block<'a> {
    at: *mut f64,
    rows: usize,
    columns: usize,
    step: usize,
    matrix: PhantomData<&'a mut [f64]>,
}

// Like the slice that it borrows: nobody else has these elements.
unsafe impl Send for Block<'_> {}

impl<'a> Block<'a> {
    fn of(matrix: &'a mut [f64], rows: usize, columns: usize, step: usize) -> Block<'a> {
        assert!(columns <= step && (rows == 0 || (rows - 1) * step + columns <= matrix.len()));
        Block { at: matrix.as_mut_ptr(), rows, columns, step, matrix: PhantomData }
    }
    fn lend(&mut self) -> Block<'_> {
        Block { matrix: PhantomData, ..*self }
    }
    fn row(&mut self, i: usize) -> &mut [f64] {
        assert!(i < self.rows);
        unsafe { std::slice::from_raw_parts_mut(self.at.add(i * self.step), self.columns) }
    }
    fn split_rows(self, first: usize) -> (Block<'a>, Block<'a>) {
        assert!(first <= self.rows);
        let below = Block { at: self.at.wrapping_add(first * self.step), rows: self.rows - first, ..self };
        (Block { rows: first, ..self }, below)
    }
    fn split_columns(self, first: usize) -> (Block<'a>, Block<'a>) {
        assert!(first <= self.columns);
        let right = Block { at: self.at.wrapping_add(first), columns: self.columns - first, ..self };
        (Block { columns: first, ..self }, right)
    }
    fn quarters(self) -> [Block<'a>; 4] {
        let (rows, columns) = (self.rows / 2, self.columns / 2);
        let (upper, lower) = self.split_rows(rows);
        let ((a, b), (c, d)) = (upper.split_columns(columns), lower.split_columns(columns));
        [a, b, c, d]
    }
    /// Parts of at most so many rows.
    fn chunks(self, rows: usize) -> Vec<Block<'a>> {
        let (mut all, mut rest) = (Vec::new(), self);
        while rest.rows > rows {
            let (first, others) = rest.split_rows(rows);
            all.push(first);
            rest = others;
        }
        all.push(rest);
        all
    }
}

/// row += factor * other
#[inline(always)]
fn add_row(row: &mut [f64], factor: f64, other: &[f64]) {
    for (element, &one) in row.iter_mut().zip(other) {
        *element += factor * one;
    }
}

/// c += a b
#[inline(always)]
fn add_product(a: View, b: View, c: &mut Block) {
    for i in 0..c.rows {
        let row = c.row(i);
        for (k, &factor) in a.row(i).iter().enumerate() {
            add_row(row, factor, b.row(k));
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn add_product_avx2(a: View, b: View, c: &mut Block) {
    add_product(a, b, c)
}

fn multiply_add(a: View, b: View, c: &mut Block) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        return unsafe { add_product_avx2(a, b, c) };
    }
    add_product(a, b, c)
}

/// A square of --n in rows that are longer.
struct Square {
    elements: Vec<f64>,
    size: usize,
    step: usize,
}

impl Square {
    fn new(size: usize, step: usize) -> Square {
        Square { elements: vec![0.0; size * step], size, step }
    }
    fn view(&self) -> View<'_> {
        View { at: &self.elements, rows: self.size, columns: self.size, step: self.step }
    }
    fn block(&mut self) -> Block<'_> {
        Block::of(&mut self.elements, self.size, self.size, self.step)
    }
    fn times(&self, vector: &[f64]) -> Vec<f64> {
        let row = |i| self.view().row(i).iter().zip(vector).map(|(x, y)| x * y).sum();
        (0..self.size).map(row).collect()
    }
    fn sum(&self) -> i64 {
        (0..self.size).flat_map(|i| self.view().row(i)).map(|&element| element as i64).sum()
    }
}

/// Two of small whole numbers, made in turn.
fn two_squares(state: &mut u64, size: usize, step: usize) -> (Square, Square) {
    let (mut a, mut b) = (Square::new(size, step), Square::new(size, step));
    for (x, y) in a.elements.iter_mut().zip(&mut b.elements) {
        *x = (random(state) % 8) as f64;
        *y = (random(state) % 8) as f64;
    }
    (a, b)
}

/// What all elements of A B add up to.
fn sum_of_product(a: &Square, b: &Square) -> i64 {
    let down = |k: usize| (0..a.size).map(|i| a.view().row(i)[k]).sum::<f64>();
    (0..a.size).map(|k| (down(k) * b.view().row(k).iter().sum::<f64>()) as i64).sum()
}

// ---- matmul: bench/matmul.c ----

const LEAF: usize = 64;

fn multiply(a: View, b: View, mut c: Block) {
    let (rows, columns, common) = (c.rows, c.columns, a.columns);
    let most = rows.max(columns).max(common);
    let half = (most / 2 + 7) & !7;
    if most <= LEAF {
        multiply_add(a, b, &mut c);
    } else if most == rows {
        let (upper, lower) = c.split_rows(half);
        std::thread::scope(|scope| {
            spawn(scope, || multiply(a.part(half, 0, rows - half, common), b, lower));
            multiply(a.part(0, 0, half, common), b, upper);
        });
    } else if most == columns {
        let (left, right) = c.split_columns(half);
        std::thread::scope(|scope| {
            spawn(scope, || multiply(a, b.part(0, half, common, columns - half), right));
            multiply(a, b.part(0, 0, common, half), left);
        });
    } else {
        multiply(a.part(0, 0, rows, half), b.part(0, 0, half, columns), c.lend());
        multiply(a.part(0, half, rows, common - half), b.part(half, 0, common - half, columns), c);
    }
}

pub fn run_matmul(run: &mut Run) {
    let n = run.number("n", 1024) as usize;
    let (a, b) = two_squares(&mut 1, n, ((n + 7) & !7) + PAD);
    let mut c = Square::new(n, a.step);
    run.start();
    multiply(a.view(), b.view(), c.block());
    run.stop(0);
    let diagonal = |i: usize| a.view().row(i).iter().enumerate().map(|(k, x)| x * b.view().row(k)[i]).sum::<f64>() as i64;
    run.prove("sum", c.sum(), sum_of_product(&a, &b));
    run.prove("trace", (0..n).map(|i| c.view().row(i)[i] as i64).sum(), (0..n).map(diagonal).sum());
}

// ---- strassen: bench/strassen.c ----

const GRAIN: usize = 16; // rows of sums in a part

#[derive(Clone, Copy)]
struct Strassen {
    workers: i64,
    cutoff: usize,
}

impl Strassen {
    /// Four squares, each element from those of the four quarters.
    fn combine(&self, from: View, sums: impl Fn([f64; 4]) -> [f64; 4] + Sync) -> [Square; 4] {
        let half = from.rows / 2;
        let new = || Square::new(half, half + PAD);
        let [mut a, mut b, mut c, mut d] = [new(), new(), new(), new()];
        let blocks =
            a.block().chunks(GRAIN).into_iter().zip(b.block().chunks(GRAIN)).zip(c.block().chunks(GRAIN)).zip(d.block().chunks(GRAIN));
        share(self.workers, blocks.enumerate(), |(part, (((mut a, mut b), mut c), mut d))| {
            for i in 0..a.rows {
                let (upper, lower) = (from.row(part * GRAIN + i), from.row(part * GRAIN + i + half));
                let (a, b, c, d) = (a.row(i), b.row(i), c.row(i), d.row(i));
                let pairs = upper[..half].iter().zip(&upper[half..]).zip(lower[..half].iter().zip(&lower[half..]));
                let places = a.iter_mut().zip(b).zip(c.iter_mut().zip(d));
                for (((&x11, &x12), (&x21, &x22)), ((a, b), (c, d))) in pairs.zip(places) {
                    let all = sums([x11, x12, x21, x22]);
                    (*a, *b, *c, *d) = (all[0], all[1], all[2], all[3]);
                }
            }
        });
        [a, b, c, d]
    }
    /// C of the seven products: it holds P2, P3, P4 and P7.
    fn finish(&self, c: Block, p1: View, p5: View, p6: View) {
        let half = c.rows / 2;
        let (upper, lower) = c.split_rows(half);
        let blocks = upper.chunks(GRAIN).into_iter().zip(lower.chunks(GRAIN)).enumerate();
        share(self.workers, blocks, |(part, (mut upper, mut lower))| {
            for i in 0..upper.rows {
                let (c11, c12) = upper.row(i).split_at_mut(half);
                let (c21, c22) = lower.row(i).split_at_mut(half);
                let row = part * GRAIN + i;
                let products = p1.row(row).iter().zip(p5.row(row)).zip(p6.row(row));
                let places = c11.iter_mut().zip(c12).zip(c21.iter_mut().zip(c22));
                for (((p1, p5), p6), ((c11, c12), (c21, c22))) in products.zip(places) {
                    let u2 = p1 + p6;
                    let u3 = u2 + *c22;
                    *c11 += p1;
                    *c12 += u2 + p5;
                    *c21 = u3 - *c21;
                    *c22 = u3 + p5;
                }
            }
        });
    }
    fn multiply(&self, a: View, b: View, mut c: Block) {
        if c.rows <= self.cutoff {
            (0..c.rows).for_each(|i| c.row(i).fill(0.0));
            multiply_add(a, b, &mut c);
            return;
        }
        let half = c.rows / 2;
        let [s1, s2, s3, s4] = self.combine(a, |[a11, a12, a21, a22]| {
            let sum = a21 + a22;
            [sum, sum - a11, a11 - a21, a12 - (sum - a11)]
        });
        let [t1, t2, t3, t4] = self.combine(b, |[b11, b12, b21, b22]| {
            let difference = b12 - b11;
            [difference, b22 - difference, b22 - b12, b22 - difference - b21]
        });
        let new = || Square::new(half, half + PAD);
        let [mut p1, mut p5, mut p6] = [new(), new(), new()];
        let [c11, c12, c21, c22] = c.lend().quarters();
        std::thread::scope(|scope| {
            let product = |a, b, c| spawn(scope, move || self.multiply(a, b, c));
            product(a.quarter(0, 1), b.quarter(1, 0), c11);
            product(s4.view(), b.quarter(1, 1), c12);
            product(a.quarter(1, 1), t4.view(), c21);
            product(s1.view(), t1.view(), p5.block());
            product(s2.view(), t2.view(), p6.block());
            product(s3.view(), t3.view(), c22);
            self.multiply(a.quarter(0, 0), b.quarter(0, 0), p1.block());
        });
        self.finish(c, p1.view(), p5.view(), p6.view());
    }
}

pub fn run_strassen(run: &mut Run) {
    let (n, cutoff) = (run.number("n", 1024) as usize, run.number("cutoff", 64) as usize);
    let mut size = n;
    while size > cutoff {
        if size % 2 != 0 {
            cannot("n cannot be halved down to the cut-off");
        }
        size /= 2;
    }
    let mut state = 1;
    let (a, b) = two_squares(&mut state, n, n + PAD);
    let x: Vec<f64> = (0..n).map(|_| (random(&mut state) % 1024) as f64).collect();
    let mut c = Square::new(n, n + PAD);
    c.elements.fill(-1.0);
    let strassen = Strassen { workers: run.number("workers", 1), cutoff };
    run.start();
    strassen.multiply(a.view(), b.view(), c.block());
    run.stop(0);
    // Freivalds: C x is A (B x)
    let rows = c.times(&x).iter().zip(a.times(&b.times(&x))).filter(|&(&got, known)| got == known).count();
    run.prove("rows", rows as i64, n as i64);
    run.prove("sum", c.sum(), sum_of_product(&a, &b));
}

// ---- cholesky: bench/cholesky.c ----

/// What is final, and the same transposed.
struct Tile {
    lower: Vec<f64>,
    upper: Vec<f64>,
}

/// Where a tile will be once it is final.
#[derive(Default)]
struct Place {
    tile: Mutex<Option<Arc<Tile>>>,
    arrived: Condvar,
}

impl Place {
    fn get(&self) -> Arc<Tile> {
        let tile = self.arrived.wait_while(self.tile.lock().unwrap(), |tile| tile.is_none()).unwrap();
        Arc::clone(tile.as_ref().unwrap())
    }
    fn put(&self, tile: Tile) {
        *self.tile.lock().unwrap() = Some(Arc::new(tile));
        self.arrived.notify_all();
    }
}

fn transposed(from: &[f64], size: usize) -> Vec<f64> {
    let mut to = vec![0.0; size * size];
    for (y, row) in from.chunks_exact(size).enumerate() {
        row.iter().enumerate().for_each(|(x, &element)| to[x * size + y] = element);
    }
    to
}

/// c -= a b, of which only the columns up to the row's own if `triangle`
#[inline(always)]
fn subtract_product(a: &[f64], b: &[f64], c: &mut [f64], size: usize, triangle: bool) {
    for (y, (row, factors)) in c.chunks_exact_mut(size).zip(a.chunks_exact(size)).enumerate() {
        let row = if triangle { &mut row[..=y] } else { row };
        for (&factor, other) in factors.iter().zip(b.chunks_exact(size)) {
            add_row(row, -factor, other);
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn subtract_product_avx2(a: &[f64], b: &[f64], c: &mut [f64], size: usize, triangle: bool) {
    subtract_product(a, b, c, size, triangle)
}

fn subtract(a: &[f64], b: &[f64], c: &mut [f64], size: usize, triangle: bool) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        return unsafe { subtract_product_avx2(a, b, c, size, triangle) };
    }
    subtract_product(a, b, c, size, triangle)
}

fn potrf(mut c: Vec<f64>, size: usize) -> Tile {
    let mut upper = vec![0.0; size * size];
    for (k, l) in upper.chunks_exact_mut(size).enumerate() {
        let root = c[k * size + k].sqrt();
        for y in k..size {
            l[y] = c[y * size + k] / root;
        }
        for y in k + 1..size {
            add_row(&mut c[y * size + k + 1..=y * size + y], -l[y], &l[k + 1..]);
        }
    }
    Tile { lower: transposed(&upper, size), upper }
}

fn trsm(mut c: Vec<f64>, l: &[f64], size: usize) -> Tile {
    for row in c.chunks_exact_mut(size) {
        for (k, l) in l.chunks_exact(size).enumerate() {
            row[k] /= l[k];
            let element = row[k];
            add_row(&mut row[k + 1..], -element, &l[k + 1..]);
        }
    }
    Tile { upper: transposed(&c, size), lower: c }
}

/// A triangle of tiles, row by row: the i-th has i + 1.
type Triangle<T> = Vec<Vec<T>>;

fn triangle<T>(edge: usize, mut make: impl FnMut(usize, usize) -> T) -> Triangle<T> {
    (0..edge).map(|i| (0..=i).map(|j| make(i, j)).collect()).collect()
}

/// A thread's work: tile (i, j), as soon as there is what it needs.
fn finish(places: &Triangle<Place>, i: usize, j: usize, mut c: Vec<f64>, size: usize) {
    for k in 0..j {
        subtract(&places[i][k].get().lower, &places[j][k].get().upper, &mut c, size, i == j);
    }
    places[i][j].put(if i == j { potrf(c, size) } else { trsm(c, &places[j][j].get().upper, size) });
}

/// A tile of L, of small whole numbers.
fn known_tile(state: &mut u64, size: usize, diagonal: bool) -> Vec<f64> {
    let mut make = |place: usize| {
        let (dice, x, y) = (random(state), place % size, place / size);
        match diagonal {
            true if x == y => (1 + dice % 4) as f64,
            true if x > y => 0.0,
            _ => (dice % 7) as f64 - 3.0,
        }
    };
    (0..size * size).map(&mut make).collect()
}

pub fn run_cholesky(run: &mut Run) {
    let (n, size) = (run.number("n", 2048) as usize, run.number("tile", 64) as usize);
    if n % size != 0 {
        cannot("n must be a multiple of tile");
    }
    let mut state = 1;
    let known = triangle(n / size, |i, j| known_tile(&mut state, size, i == j));
    let minus = triangle(n / size, |i, j| transposed(&known[i][j], size).iter().map(|element| -element).collect::<Vec<f64>>());
    let given = triangle(n / size, |i, j| {
        let mut tile = vec![0.0; size * size];
        (0..=j).for_each(|k| subtract(&known[i][k], &minus[j][k], &mut tile, size, false));
        tile
    });
    let places = triangle(n / size, |_, _| Place::default());
    run.start();
    std::thread::scope(|scope| {
        let places = &places;
        for (i, row) in given.into_iter().enumerate() {
            for (j, tile) in row.into_iter().enumerate() {
                spawn(scope, move || finish(places, i, j, tile, size));
            }
        }
    });
    run.stop(0);
    let right = |i: usize, j: usize| places[i][j].get().lower.iter().zip(&known[i][j]).filter(|(got, known)| got == known).count() as i64;
    let all = triangle(n / size, right);
    run.prove("right", all.iter().flatten().sum(), (all.iter().flatten().count() * size * size) as i64);
}
