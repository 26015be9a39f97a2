// SPDX-License-Identifier: MIT

//! Arguments, clocks and checks, and threads: what all workloads share.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::thread::{Builder, Scope, ScopedJoinHandle};
use std::time::Instant;

const STACK: usize = 64 * 1024;

pub struct Run {
    pub arguments: BTreeMap<String, String>,
    pub begin: Instant,
    pub begin_cpu: f64,
    pub value: f64,
    pub wall_ms: f64,
    pub cpu_ms: f64,
    pub check: Vec<(String, i64)>,
    pub more: Vec<(String, &'static str, f64)>,
    pub wrong: bool,
}

pub fn cannot(why: &str) -> ! {
    eprintln!("{}", why);
    std::process::exit(3)
}

/// CPU time of the process in ms, which the standard library does not tell.
pub fn cpu_time() -> f64 {
    extern "C" {
        fn clock_gettime(clock: i32, time: *mut [i64; 2]) -> i32;
    }
    let mut time = [0i64; 2];
    // 2 is CLOCK_PROCESS_CPUTIME_ID, and a struct timespec two words, on every 64-bit Linux.
    unsafe { clock_gettime(2, &mut time) };
    time[0] as f64 * 1e3 + time[1] as f64 / 1e6
}

pub fn memory(field: &str) -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(field));
    line.and_then(|line| line.split_whitespace().nth(1)).and_then(|kilobytes| kilobytes.parse::<i64>().ok()).unwrap_or(0) * 1024
}

impl Run {
    pub fn text<'a>(&'a self, key: &str, otherwise: &'a str) -> &'a str {
        self.arguments.get(key).map_or(otherwise, |text| text.as_str())
    }
    pub fn real(&self, key: &str, otherwise: f64) -> f64 {
        self.arguments.get(key).map_or(otherwise, |text| text.parse().expect("a number"))
    }
    pub fn number(&self, key: &str, otherwise: i64) -> i64 {
        self.arguments.get(key).map_or(otherwise, |text| text.parse::<f64>().expect("a number") as i64)
    }
    pub fn start(&mut self) {
        self.begin_cpu = cpu_time();
        self.begin = Instant::now();
    }
    pub fn stop(&mut self, count: i64) {
        let wall = self.begin.elapsed().as_nanos() as f64;
        self.cpu_ms = cpu_time() - self.begin_cpu;
        self.wall_ms = wall / 1e6;
        self.value = if count > 0 { wall / count as f64 } else { self.wall_ms };
    }
    pub fn prove(&mut self, name: &str, got: i64, expected: i64) {
        self.check.push((name.to_string(), got));
        if got != expected {
            eprintln!("wrong: {} is {}, not {}", name, got, expected);
            self.wrong = true;
        }
    }
    /// How late all were, in us.
    pub fn lateness(&mut self, mut late: Vec<f64>) {
        late.sort_by(|a, b| a.partial_cmp(b).unwrap());
        for permille in [100, 250, 500, 750, 900, 950, 980, 990, 995, 999] {
            let name = format!("lateness_us.p{}", permille as f64 / 10.0);
            self.also(&name, "us", late[(late.len() * permille + 999) / 1000 - 1]);
        }
        self.also("lateness_us.max", "us", late[late.len() - 1]);
    }
    pub fn also(&mut self, name: &str, unit: &'static str, figure: f64) {
        self.more.push((name.to_string(), unit, figure));
    }
}

/// splitmix64, as in bench/util.h
pub fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e3779b97f4a7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d049bb133111eb);
    z ^ (z >> 31)
}

pub fn spawn<'scope, F, T>(scope: &'scope Scope<'scope, '_>, work: F) -> ScopedJoinHandle<'scope, T>
where
    F: FnOnce() -> T + Send + 'scope,
    T: Send + 'scope,
{
    Builder::new().stack_size(STACK).spawn_scoped(scope, work).expect("a thread")
}

/// Threads, this one among them, that draw parts from an iterator until there are no more.
pub fn share<T, I, F>(workers: i64, parts: I, body: F)
where
    T: Send,
    I: Iterator<Item = T> + Send,
    F: Fn(T) + Sync,
{
    let parts = Mutex::new(parts);
    let draw = || parts.lock().unwrap().next();
    let work = || {
        while let Some(part) = draw() {
            body(part);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..workers {
            spawn(scope, work);
        }
        work();
    });
}
