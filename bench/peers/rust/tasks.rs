// SPDX-License-Identifier: MIT

//! Threads that are joined.

use crate::run::{spawn, Run};

fn fib(n: i64) -> i64 {
    if n < 2 {
        return n;
    }
    std::thread::scope(|scope| {
        let left = spawn(scope, || fib(n - 1));
        let right = fib(n - 2);
        left.join().unwrap() + right
    })
}

fn fibonacci(n: i64) -> i64 {
    (0..n).fold((0, 1), |(a, b), _| (b, a + b)).0
}

pub fn run_fork(run: &mut Run) {
    let n = run.number("n", 20);
    let tasks = fibonacci(n + 1) - 1;
    run.start();
    let got = fib(n);
    run.stop(tasks);
    run.prove("fib", got, fibonacci(n));
    run.prove("tasks", tasks, tasks);
}

/// bench/integrate.c
fn f(x: f64) -> f64 {
    x * (x * x + 1.0)
}

/// The integral from x1 to x2, where f is y1 and y2 and below whose chord lies `area`; and in how many areas.
fn integrate((x1, y1): (f64, f64), (x2, y2): (f64, f64), area: f64, epsilon: f64) -> (f64, i64) {
    let width = (x2 - x1) / 2.0;
    let x = x1 + width;
    let y = f(x);
    let (left, right) = ((y1 + y) / 2.0 * width, (y + y2) / 2.0 * width);
    if (left + right - area).abs() < epsilon {
        return (left + right, 1);
    }
    std::thread::scope(|scope| {
        let other = spawn(scope, || integrate((x, y), (x2, y2), right, epsilon));
        let (left, left_areas) = integrate((x1, y1), (x, y), left, epsilon);
        let (right, right_areas) = other.join().unwrap();
        (left + right, left_areas + right_areas)
    })
}

pub fn run_integrate(run: &mut Run) {
    let (n, epsilon) = (run.real("n", 10.0), run.real("epsilon", 1e-9));
    run.start();
    let (area, areas) = integrate((0.0, 0.0), (n, f(n)), 0.0, epsilon);
    run.stop(0);
    let exact = n * n * (n * n + 2.0) / 4.0;
    run.prove("areas", areas, areas);
    run.prove("right", i64::from((area - exact).abs() <= epsilon * areas as f64 + exact * 1e-13), 1);
}

pub fn run_flat(run: &mut Run) {
    let tasks = run.number("tasks", 10000);
    let mut touched = vec![0u8; tasks as usize];
    run.start();
    std::thread::scope(|scope| {
        for times in &mut touched {
            spawn(scope, move || *times += 1);
        }
    });
    run.stop(tasks);
    run.prove("ran", touched.iter().filter(|&&times| times == 1).count() as i64, tasks);
}

pub fn run_batch(run: &mut Run) {
    let (batches, tasks) = (run.number("batches", 10), run.number("tasks", 1000));
    let mut counts = vec![0u32; tasks as usize];
    run.start();
    for _ in 0..batches {
        std::thread::scope(|scope| {
            for count in &mut counts {
                spawn(scope, move || *count += 1);
            }
        });
    }
    run.stop(batches * tasks);
    run.prove("ran", counts.iter().map(|&count| i64::from(count)).sum(), batches * tasks);
}

fn skynet(first: i64, length: i64) -> i64 {
    if length == 1 {
        return first;
    }
    std::thread::scope(|scope| {
        let parts: Vec<_> = (0..10).map(|i| spawn(scope, move || skynet(first + i * (length / 10), length / 10))).collect();
        parts.into_iter().map(|part| part.join().unwrap()).sum()
    })
}

pub fn run_skynet(run: &mut Run) {
    let leaves = 10i64.pow(run.number("levels", 4) as u32);
    run.start();
    let sum = skynet(0, leaves);
    run.stop(0);
    run.prove("sum", sum, leaves * (leaves - 1) / 2);
}

#[derive(Clone)]
struct Board {
    column: [u8; 16],
    row: usize,
}

impl Board {
    fn free(&self, row: usize, column: u8) -> bool {
        (0..row).all(|i| {
            let distance = i64::from(self.column[i]) - i64::from(column);
            distance != 0 && distance.unsigned_abs() as usize != row - i
        })
    }
    fn safe(&self, column: u8, pairs: bool) -> bool {
        (!pairs || (1..self.row).all(|i| self.free(i, self.column[i]))) && self.free(self.row, column)
    }
    fn place(&self, size: usize, pairs: bool) -> i64 {
        if self.row == size {
            return 1;
        }
        std::thread::scope(|scope| {
            let mut below = Vec::new();
            for column in (0..size as u8).filter(|&column| self.safe(column, pairs)) {
                let mut next = self.clone();
                next.column[next.row] = column;
                next.row += 1;
                below.push(spawn(scope, move || next.place(size, pairs)));
            }
            below.into_iter().map(|child| child.join().unwrap()).sum()
        })
    }
}

pub fn run_queens(run: &mut Run) {
    let known = [1, 1, 0, 0, 2, 10, 4, 40, 92, 352, 724, 2680, 14200, 73712, 365596, 2279184, 14772512];
    let size = run.number("n", 8) as usize;
    let pairs = run.text("test", "pairs") == "pairs";
    run.start();
    let solutions = Board { column: [0; 16], row: 0 }.place(size, pairs);
    run.stop(0);
    run.prove("solutions", solutions, known[size]);
}
