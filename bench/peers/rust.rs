// SPDX-License-Identifier: MIT

//! Rust's standard library: the 1:1 model with borrowed data. A task is a scoped thread (std::thread::scope), channels are std::sync::mpsc,
//! and the rest is Mutex, Condvar, yield_now and sleep. No crates: what one gets with Rust is the question. So sizes are small.
//!
//! The serial parts are written in Rust again. A channel of mpsc has one receiver, so chan takes no more. The standard library has no SHA-1
//! for uts; and matmul would compare the compiler's vectors with ours.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Condvar, Mutex};
use std::thread::{Builder, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

const STACK: usize = 64 * 1024;

struct Run {
    arguments: BTreeMap<String, String>,
    begin: Instant,
    begin_cpu: f64,
    value: f64,
    wall_ms: f64,
    cpu_ms: f64,
    check: Vec<(String, i64)>,
    more: Vec<(String, &'static str, f64)>,
    wrong: bool,
}

fn cannot(why: &str) -> ! {
    eprintln!("{}", why);
    std::process::exit(3)
}

/// CPU time of the process in ms, which the standard library does not tell.
fn cpu_time() -> f64 {
    extern "C" {
        fn clock_gettime(clock: i32, time: *mut [i64; 2]) -> i32;
    }
    let mut time = [0i64; 2];
    // 2 is CLOCK_PROCESS_CPUTIME_ID, and a struct timespec two words, on every 64-bit Linux.
    unsafe { clock_gettime(2, &mut time) };
    time[0] as f64 * 1e3 + time[1] as f64 / 1e6
}

fn memory(field: &str) -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(field));
    line.and_then(|line| line.split_whitespace().nth(1)).and_then(|kilobytes| kilobytes.parse::<i64>().ok()).unwrap_or(0) * 1024
}

impl Run {
    fn text<'a>(&'a self, key: &str, otherwise: &'a str) -> &'a str {
        self.arguments.get(key).map_or(otherwise, |text| text.as_str())
    }
    fn number(&self, key: &str, otherwise: i64) -> i64 {
        self.arguments.get(key).map_or(otherwise, |text| text.parse::<f64>().expect("a number") as i64)
    }
    fn start(&mut self) {
        self.begin_cpu = cpu_time();
        self.begin = Instant::now();
    }
    fn stop(&mut self, count: i64) {
        let wall = self.begin.elapsed().as_nanos() as f64;
        self.cpu_ms = cpu_time() - self.begin_cpu;
        self.wall_ms = wall / 1e6;
        self.value = if count > 0 { wall / count as f64 } else { self.wall_ms };
    }
    fn prove(&mut self, name: &str, got: i64, expected: i64) {
        self.check.push((name.to_string(), got));
        if got != expected {
            eprintln!("wrong: {} is {}, not {}", name, got, expected);
            self.wrong = true;
        }
    }
    fn also(&mut self, name: &str, unit: &'static str, figure: f64) {
        self.more.push((name.to_string(), unit, figure));
    }
}

/// splitmix64, as in bench/util.h
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e3779b97f4a7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d049bb133111eb);
    z ^ (z >> 31)
}

fn spawn<'scope, F, T>(scope: &'scope Scope<'scope, '_>, work: F) -> ScopedJoinHandle<'scope, T>
where
    F: FnOnce() -> T + Send + 'scope,
    T: Send + 'scope,
{
    Builder::new().stack_size(STACK).spawn_scoped(scope, work).expect("a thread")
}

// ---- fork-join ----

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

fn run_fork(run: &mut Run) {
    let n = run.number("n", 20);
    let tasks = fibonacci(n + 1) - 1;
    run.start();
    let got = fib(n);
    run.stop(tasks);
    run.prove("fib", got, fibonacci(n));
    run.prove("tasks", tasks, tasks);
}

fn run_flat(run: &mut Run) {
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

fn run_batch(run: &mut Run) {
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

fn run_skynet(run: &mut Run) {
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

fn run_queens(run: &mut Run) {
    let known = [1, 1, 0, 0, 2, 10, 4, 40, 92, 352, 724, 2680, 14200, 73712, 365596, 2279184, 14772512];
    let size = run.number("n", 8) as usize;
    let pairs = run.text("test", "pairs") == "pairs";
    run.start();
    let solutions = Board { column: [0; 16], row: 0 }.place(size, pairs);
    run.stop(0);
    run.prove("solutions", solutions, known[size]);
}

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

fn run_sort(run: &mut Run) {
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

// ---- threads that wait ----

/// A door that opens once; how many stand before it.
#[derive(Default)]
struct Door {
    state: Mutex<(bool, i64, i64)>, // open, waiting, passed
    opened: Condvar,
    arrived: Condvar,
}

impl Door {
    fn wait(&self) {
        let mut state = self.state.lock().unwrap();
        state.1 += 1;
        self.arrived.notify_one();
        self.opened.wait_while(state, |state| !state.0).unwrap().2 += 1;
    }
    fn wait_until_all(&self, count: i64) {
        drop(self.arrived.wait_while(self.state.lock().unwrap(), |state| state.1 < count).unwrap());
    }
    fn open(&self) {
        self.state.lock().unwrap().0 = true;
        self.opened.notify_all();
    }
    fn passed(&self) -> i64 {
        self.state.lock().unwrap().2
    }
}

fn run_yield(run: &mut Run) {
    let tasks = run.number("tasks", 1000);
    let rounds = std::cmp::max(run.number("switches", 200000) / tasks, 1);
    let door = Door::default();
    let yields = AtomicI64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..tasks {
            spawn(scope, || {
                door.wait();
                for _ in 0..rounds {
                    std::thread::yield_now();
                }
                yields.fetch_add(rounds, Ordering::Relaxed);
            });
        }
        door.wait_until_all(tasks);
        run.start();
        door.open();
    });
    run.stop(rounds * tasks);
    run.prove("yields", yields.into_inner(), rounds * tasks);
}

fn run_pingpong(run: &mut Run) {
    let rounds = run.number("rounds", 200000);
    let ((to, there), (fro, back)) = (sync_channel::<i64>(0), sync_channel::<i64>(0));
    run.start();
    let (pings, pongs) = std::thread::scope(|scope| {
        let second = spawn(scope, move || there.iter().map(|ball| fro.send(ball).unwrap()).count() as i64);
        let first = spawn(scope, move || {
            let hit = |&i: &i64| {
                to.send(i).unwrap();
                back.recv().unwrap() == i
            };
            (0..rounds).filter(hit).count() as i64
        });
        (first.join().unwrap(), second.join().unwrap())
    });
    run.stop(rounds);
    run.prove("pings", pings, rounds);
    run.prove("pongs", pongs, rounds);
}

fn run_chan(run: &mut Run) {
    if run.number("receivers", 1) != 1 {
        cannot("a channel of the standard library has one receiver");
    }
    let senders = run.number("senders", 1);
    let each = std::cmp::max(run.number("items", 4000000) / senders, 1);
    let (sender, receiver) = sync_channel::<i64>(run.number("capacity", 256) as usize);
    run.start();
    let (count, sum) = std::thread::scope(|scope| {
        let receiving = spawn(scope, move || receiver.iter().fold((0, 0), |(count, sum), item| (count + 1, sum + item)));
        for _ in 0..senders {
            let sender = sender.clone();
            spawn(scope, move || (1..=each).for_each(|item| sender.send(item).unwrap()));
        }
        drop(sender);
        receiving.join().unwrap()
    });
    run.stop(each * senders);
    run.prove("items", count, each * senders);
    run.prove("sum", sum, senders * (each * (each + 1) / 2));
}

fn run_park(run: &mut Run) {
    let tasks = run.number("tasks", 10000);
    let before = memory("VmRSS:");
    let door = Door::default();
    run.start();
    let mut wake = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..tasks {
            spawn(scope, || door.wait());
        }
        door.wait_until_all(tasks);
        run.stop(0);
        run.also("memory", "bytes/task", (memory("VmRSS:") - before) as f64 / tasks as f64);
        wake = Instant::now();
        door.open();
    });
    run.also("wake", "ms", wake.elapsed().as_nanos() as f64 / 1e6);
    run.prove("woken", door.passed(), tasks);
}

fn run_timers(run: &mut Run) {
    let (tasks, longest) = (run.number("tasks", 5000), run.number("longest", 1000) as u64 * 1000000);
    let mut state = run.number("seed", 1) as u64;
    let naps: Vec<u64> = (0..tasks).map(|_| random(&mut state) % longest).collect();
    run.start();
    let mut late: Vec<f64> = std::thread::scope(|scope| {
        let sleep = |&nap| {
            spawn(scope, move || {
                let before = Instant::now();
                std::thread::sleep(Duration::from_nanos(nap));
                (before.elapsed().as_nanos() as f64 - nap as f64) / 1e3
            })
        };
        let all: Vec<_> = naps.iter().map(sleep).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    run.stop(0);
    run.value = run.cpu_ms;
    late.sort_by(|a, b| a.partial_cmp(b).unwrap());
    run.also("lateness_us.p50", "us", late[(late.len() - 1) / 2]);
    run.also("lateness_us.p99", "us", late[(late.len() * 99 + 99) / 100 - 1]);
    run.also("lateness_us.max", "us", late[late.len() - 1]);
    run.prove("slept", tasks, tasks);
    run.prove("early", late.iter().filter(|&&one| one < 0.0).count() as i64, 0);
}

fn run_mutex(run: &mut Run) {
    let tasks = run.number("tasks", 1);
    if run.number("inside", 0) != 0 {
        cannot("it has nothing to do inside the lock");
    }
    let turns = std::cmp::max(run.number("pairs", 20000000) / tasks, 1);
    let fewer = std::cmp::max(turns / 10, 1);
    let counter = Mutex::new(0i64);
    run.start();
    std::thread::scope(|scope| {
        for _ in 0..tasks {
            spawn(scope, || (0..turns).for_each(|_| *counter.lock().unwrap() += 1));
        }
    });
    run.stop(turns * tasks);
    let longest = Mutex::new(Duration::ZERO);
    std::thread::scope(|scope| {
        for _ in 0..tasks {
            spawn(scope, || {
                let mut mine = Duration::ZERO;
                for _ in 0..fewer {
                    let before = Instant::now();
                    let mut counter = counter.lock().unwrap();
                    mine = std::cmp::max(mine, before.elapsed());
                    *counter += 1;
                }
                let mut longest = longest.lock().unwrap();
                *longest = std::cmp::max(*longest, mine);
            });
        }
    });
    run.also("longest wait", "us", longest.into_inner().unwrap().as_nanos() as f64 / 1e3);
    run.prove("counter", counter.into_inner().unwrap(), (turns + fewer) * tasks);
}

// ---- main ----

type Work = fn(&mut Run);

const WORKLOADS: [(&str, &str, &str, Work); 12] = [
    ("fork", "ns/task", "\"n\": 20", run_fork),
    ("flat", "ns/task", "\"tasks\": 10000", run_flat),
    ("batch", "ns/task", "\"batches\": 20", run_batch),
    ("skynet", "ms", "\"levels\": 3", run_skynet),
    ("queens", "ms", "\"n\": 8", run_queens),
    ("sort", "ms", "", run_sort),
    ("yield", "ns/switch", "\"switches\": 200000", run_yield),
    ("pingpong", "ns/round", "\"rounds\": 100000", run_pingpong),
    ("chan", "ns/item", "", run_chan),
    ("park", "ms", "\"tasks\": 10000", run_park),
    ("timers", "ms CPU", "\"tasks\": 5000", run_timers),
    ("mutex", "ns/pair", "", run_mutex),
];

fn main() {
    let version = option_env!("PEER_VERSION").unwrap_or("rustc");
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words == ["--list"] {
        let all: Vec<String> = WORKLOADS.iter().map(|(name, _, most, _)| format!("\"{}\": {{{}}}", name, most)).collect();
        println!("{{\"peer\": \"rust\", \"version\": \"{}\", \"workloads\": {{{}}}}}", version, all.join(", "));
        return;
    }
    if words.len() % 2 == 0 {
        eprintln!("usage: peer-rust --list\n       peer-rust WORKLOAD --workers N [--KEY VALUE]...");
        std::process::exit(2);
    }
    let pairs = words[1..].chunks(2).map(|pair| (pair[0].trim_start_matches("--").to_string(), pair[1].clone()));
    let mut run = Run {
        arguments: pairs.collect(),
        begin: Instant::now(),
        begin_cpu: 0.0,
        value: 0.0,
        wall_ms: 0.0,
        cpu_ms: 0.0,
        check: Vec::new(),
        more: Vec::new(),
        wrong: false,
    };
    let (name, unit, _, work) = match WORKLOADS.iter().find(|workload| workload.0 == words[0]) {
        Some(workload) => *workload,
        None => cannot("it has no means for that workload"),
    };
    for turn in 0..2 {
        run.check.clear();
        run.more.clear();
        if turn == 1 {
            let _ = std::fs::write("/proc/self/clear_refs", "5"); // else the peak includes the warm-up
        }
        work(&mut run);
    }
    let check: Vec<String> = run.check.iter().map(|(name, got)| format!("\"{}\": {}", name, got)).collect();
    let figure = |(name, unit, value): &(String, &str, f64)| format!("\"{}\": {{\"unit\": \"{}\", \"value\": {}}}", name, unit, value);
    let more: Vec<String> = run.more.iter().map(figure).collect();
    println!(
        "{{\"peer\": \"rust\", \"version\": \"{}\", \"workload\": \"{}\", \"unit\": \"{}\", \"value\": {}, \"workers\": {}, \
         \"check\": {{{}}}, \"wall_ms\": {}, \"cpu_ms\": {}, \"peak_rss\": {}, \"more\": {{{}}}}}",
        version, name, unit, run.value, run.number("workers", 1), check.join(", "), run.wall_ms, run.cpu_ms, memory("VmHWM:"), more.join(", ")
    );
    std::process::exit(i32::from(run.wrong));
}
