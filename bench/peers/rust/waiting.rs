// SPDX-License-Identifier: MIT

//! Threads that wait.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{channel, sync_channel, Receiver, Sender, SyncSender};
use std::sync::{Condvar, Mutex, RwLock};
use std::time::{Duration, Instant};

use crate::run::{cannot, memory, random, spawn, Run};

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

pub fn run_yield(run: &mut Run) {
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

pub fn run_pingpong(run: &mut Run) {
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

pub fn run_chan(run: &mut Run) {
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

pub fn run_stuck(run: &mut Run) {
    let (tasks, length) = (run.number("tasks", 20), Duration::from_millis(run.number("length", 200) as u64));
    let (under_way, worst, held) = (AtomicI64::new(0), AtomicI64::new(0), AtomicI64::new(0));
    let (holding, over) = (AtomicI64::new(0), AtomicI64::new(0));
    let nap = Duration::from_millis(1);
    run.start();
    let ended = std::thread::scope(|scope| {
        let sleep = |_| {
            spawn(scope, || {
                under_way.fetch_add(1, Ordering::SeqCst);
                while over.load(Ordering::SeqCst) == 0 {
                    let before = Instant::now();
                    std::thread::sleep(nap);
                    let late = before.elapsed().as_nanos() as i64 - nap.as_nanos() as i64;
                    if holding.load(Ordering::SeqCst) != 0 {
                        worst.fetch_max(late, Ordering::SeqCst);
                    }
                }
            })
        };
        let all: Vec<_> = (0..tasks).map(sleep).collect();
        spawn(scope, || {
            while under_way.load(Ordering::SeqCst) < tasks {
                std::thread::sleep(nap);
            }
            let before = Instant::now();
            holding.store(1, Ordering::SeqCst);
            std::thread::sleep(length);
            held.store(before.elapsed().as_nanos() as i64, Ordering::SeqCst);
            std::thread::sleep(2 * nap);
            over.store(1, Ordering::SeqCst);
        });
        all.into_iter().map(|one| one.join().is_ok() as i64).sum::<i64>()
    });
    run.stop(0);
    run.value = worst.into_inner() as f64 / 1e6;
    run.prove("ended", ended, tasks);
    run.prove("blocked", (held.into_inner() >= length.as_nanos() as i64) as i64, 1);
}

pub fn run_park(run: &mut Run) {
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

pub fn run_timers(run: &mut Run) {
    let (tasks, longest) = (run.number("tasks", 5000), run.number("longest", 1000) as u64 * 1000000);
    let mut state = run.number("seed", 1) as u64;
    let naps: Vec<u64> = (0..tasks).map(|_| random(&mut state) % longest).collect();
    run.start();
    let late: Vec<f64> = std::thread::scope(|scope| {
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
    run.prove("slept", tasks, tasks);
    run.prove("early", late.iter().filter(|&&one| one < 0.0).count() as i64, 0);
    run.lateness(late);
}

pub fn run_mutex(run: &mut Run) {
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

// ---- threadring: bench/threadring.c ----

/// Passes the token on, and ends when it is 0 or nobody is left to pass it. @return how often, and whether it was 0
fn pass(from: Receiver<i64>, to: SyncSender<i64>) -> (i64, bool) {
    let mut passed = 0;
    for token in from {
        if token == 0 {
            return (passed, true);
        }
        passed += 1;
        to.send(token - 1).unwrap();
    }
    (passed, false)
}

pub fn run_threadring(run: &mut Run) {
    let (tasks, passes) = (run.number("tasks", 503), run.number("passes", 100000));
    let capacity = run.number("capacity", 0) as usize;
    run.start();
    let (mut to, from): (Vec<_>, Vec<_>) = (0..tasks).map(|_| sync_channel::<i64>(capacity)).unzip();
    let first = to[0].clone();
    to.rotate_left(1);
    let passed: Vec<(i64, bool)> = std::thread::scope(|scope| {
        let all: Vec<_> = from.into_iter().zip(to).map(|(from, to)| spawn(scope, move || pass(from, to))).collect();
        first.send(passes).unwrap();
        drop(first);
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    run.stop(passes);
    let name = passed.iter().position(|&(_, last)| last).map_or(0, |place| place as i64 + 1);
    run.prove("name", name, passes % tasks + 1);
    run.prove("passes", passed.iter().map(|&(times, _)| times).sum(), passes);
    run.prove("ended", passed.len() as i64, tasks);
}

// ---- chameneos: bench/chameneos.c ----

type Who = (usize, i64); // number and colour

struct Creature {
    colour: i64,
    met: i64,
    met_itself: i64,
}

/// Goes to the place, and meets whom it names, until it is closed.
fn live(me: usize, mut colour: i64, place: Sender<Who>, other: Receiver<Who>) -> Creature {
    let (mut met, mut met_itself) = (0, 0);
    while place.send((me, colour)).is_ok() {
        match other.recv() {
            Ok((who, its)) => {
                colour = (6 - colour - its) % 3;
                met += 1;
                met_itself += i64::from(who == me);
            }
            Err(_) => break,
        }
    }
    Creature { colour, met, met_itself }
}

pub fn run_chameneos(run: &mut Run) {
    const ROW: [i64; 10] = [0, 1, 2, 1, 2, 0, 1, 2, 1, 0]; // blue, red, yellow
    let (creatures, meetings) = (run.number("creatures", 10) as usize, run.number("meetings", 50000));
    let before = (0..creatures).map(|i| ROW[i % 10]).sum::<i64>() % 3;
    run.start();
    let all: Vec<Creature> = std::thread::scope(|scope| {
        let (place, visitors) = channel();
        let mut gates = Vec::new();
        let mut living = Vec::new();
        for me in 0..creatures {
            let (gate, other) = sync_channel(1);
            let place = place.clone();
            gates.push(gate);
            living.push(spawn(scope, move || live(me, ROW[me % 10], place, other)));
        }
        for _ in 0..meetings {
            let (one, other) = (visitors.recv().unwrap(), visitors.recv().unwrap());
            gates[one.0].send(other).unwrap();
            gates[other.0].send(one).unwrap();
        }
        drop((visitors, gates)); // closed
        living.into_iter().map(|one| one.join().unwrap()).collect()
    });
    run.stop(meetings);
    run.prove("met", all.iter().map(|one| one.met).sum(), 2 * meetings);
    run.prove("met_itself", all.iter().map(|one| one.met_itself).sum(), 0);
    run.prove("colours", all.iter().map(|one| one.colour).sum::<i64>() % 3, before);
}

// ---- prodcons: bench/prodcons.c ----

/// What has arrived at the leaves.
struct Arrived {
    count: i64,
    sum: i64,
    least: i64,
    most: i64,
}

impl Arrived {
    fn and(self, other: Arrived) -> Arrived {
        Arrived {
            count: self.count + other.count,
            sum: self.sum + other.sum,
            least: self.least.min(other.least),
            most: self.most.max(other.most),
        }
    }
}

/// Deals out what comes to `fan` threads of its own, or, at the last level, adds it up.
fn deal(items: impl Iterator<Item = i64>, levels: i64, fan: usize, capacity: usize) -> Arrived {
    if levels == 0 {
        let (count, sum) = items.fold((0, 0), |(count, sum), item| (count + 1, sum + item));
        return Arrived { count, sum, least: count, most: count };
    }
    std::thread::scope(|scope| {
        let (to, from): (Vec<_>, Vec<_>) = (0..fan).map(|_| sync_channel(capacity)).unzip();
        let deal_below = |from: Receiver<i64>| spawn(scope, move || deal(from.into_iter(), levels - 1, fan, capacity));
        let below: Vec<_> = from.into_iter().map(deal_below).collect();
        for (item, next) in items.zip(to.iter().cycle()) {
            next.send(item).unwrap();
        }
        drop(to);
        below.into_iter().map(|one| one.join().unwrap()).reduce(Arrived::and).unwrap()
    })
}

pub fn run_prodcons(run: &mut Run) {
    let (items, levels) = (run.number("items", 20000), run.number("levels", 4));
    let (fan, capacity) = (run.number("fan", 4) as usize, run.number("capacity", 64) as usize);
    run.start();
    let all = deal(1..=items, levels, fan, capacity);
    run.stop(items * levels);
    run.prove("items", all.count, items);
    run.prove("sum", all.sum, items * (items + 1) / 2);
    run.prove("dealt_fairly", i64::from(all.most - all.least <= 1), 1);
}

// ---- mix: bench/mix.c ----

/// A flag that ends a sleep.
#[derive(Default)]
struct Over {
    flag: Mutex<bool>,
    changed: Condvar,
}

impl Over {
    /// @return whether it is over before the time
    fn wait(&self, time: Duration) -> bool {
        let flag = self.flag.lock().unwrap();
        *self.changed.wait_timeout_while(flag, time, |over| !*over).unwrap().0
    }
    fn set(&self) {
        *self.flag.lock().unwrap() = true;
        self.changed.notify_all();
    }
}

fn compute(number: i64, rounds: i64) -> u64 {
    let mut state = number as u64;
    (0..rounds).fold(0u64, |sum, _| sum.wrapping_add(random(&mut state)))
}

fn compute_all(units: i64, rounds: i64) -> i64 {
    let sum = std::thread::scope(|scope| {
        let all: Vec<_> = (0..units).map(|number| spawn(scope, move || compute(number, rounds))).collect();
        all.into_iter().fold(0u64, |sum, one| sum.wrapping_add(one.join().unwrap()))
    });
    (sum & i64::MAX as u64) as i64
}

/// Sleeps again and again until it is over. @return how late it was, in us
fn sleep(seed: i64, longest: u64, begun: &Door, over: &Over) -> Vec<f64> {
    let (mut state, mut late) = (seed as u64, Vec::new());
    begun.wait();
    loop {
        let nap = random(&mut state) % longest;
        let before = Instant::now();
        if over.wait(Duration::from_nanos(nap)) {
            return late;
        }
        late.push((before.elapsed().as_nanos() as f64 - nap as f64) / 1e3);
    }
}

pub fn run_mix(run: &mut Run) {
    let (units, rounds, sleepers) = (run.number("units", 4000), run.number("rounds", 50000), run.number("sleepers", 100));
    let longest = run.number("longest", 20) as u64 * 1000000;
    let before = Instant::now();
    let expected = compute_all(units, rounds);
    let alone = before.elapsed().as_nanos() as f64;
    let (begun, over) = (Door::default(), Over::default());
    let (late, sum) = std::thread::scope(|scope| {
        let (begun, over) = (&begun, &over);
        let sleeping: Vec<_> = (0..sleepers).map(|i| spawn(scope, move || sleep(i, longest, begun, over))).collect();
        begun.wait_until_all(sleepers);
        begun.open();
        run.start();
        let sum = compute_all(units, rounds);
        run.stop(units);
        over.set();
        let late: Vec<f64> = sleeping.into_iter().flat_map(|one| one.join().unwrap()).collect();
        (late, sum)
    });
    run.value /= 1e3;
    run.also("alone", "us/unit", alone / units as f64 / 1e3);
    run.also("throughput", "of alone", alone / 1e6 / run.wall_ms);
    run.also("sleeps", "", late.len() as f64);
    run.prove("sum", sum, expected);
    run.prove("early", late.iter().filter(|&&one| one < 0.0).count() as i64, 0);
    if !late.is_empty() {
        run.lateness(late);
    }
}

// ---- rwlock and cond: bench/rwlock.c, cond.c ----

pub fn run_rwlock(run: &mut Run) {
    let (tasks, rounds, readers) = (run.number("tasks", 8), run.number("rounds", 250000), run.number("readers", 95) as u64);
    let pair = RwLock::new((0i64, 0i64));
    let visit = |seed: i64| {
        let (mut dice, mut written, mut torn) = (seed as u64, 0, 0);
        for _ in 0..rounds {
            if random(&mut dice) % 100 < readers {
                let pair = pair.read().unwrap();
                torn += i64::from(pair.0 != pair.1);
            } else {
                let mut pair = pair.write().unwrap();
                pair.0 += 1;
                pair.1 += 1;
                written += 1;
            }
        }
        (written, torn)
    };
    run.start();
    let (written, torn) = std::thread::scope(|scope| {
        let visit = &visit;
        let all: Vec<_> = (0..tasks).map(|seed| spawn(scope, move || visit(seed))).collect();
        let add = |(written, torn), (w, t)| (written + w, torn + t);
        all.into_iter().map(|one| one.join().unwrap()).fold((0, 0), add)
    });
    run.stop(rounds * tasks);
    run.prove("written", pair.into_inner().unwrap().0, written);
    run.prove("torn", torn, 0);
}

/// @return how long from the broadcast until the last has gone through, and how many have
fn broadcast(waiters: i64) -> (Duration, i64) {
    struct Hall {
        open: bool,
        arrived: i64,
        through: i64,
        last: Instant,
    }
    let hall = Mutex::new(Hall { open: false, arrived: 0, through: 0, last: Instant::now() });
    let (arrival, opened) = (Condvar::new(), Condvar::new());
    let start = std::thread::scope(|scope| {
        for _ in 0..waiters {
            spawn(scope, || {
                let mut mine = hall.lock().unwrap();
                mine.arrived += 1;
                if mine.arrived == waiters {
                    arrival.notify_one();
                }
                let mut mine = opened.wait_while(mine, |hall| !hall.open).unwrap();
                mine.through += 1;
                mine.last = Instant::now();
            });
        }
        arrival.wait_while(hall.lock().unwrap(), |hall| hall.arrived < waiters).unwrap().open = true;
        let start = Instant::now();
        opened.notify_all();
        start
    });
    let hall = hall.into_inner().unwrap();
    (hall.last - start, hall.through)
}

pub fn run_cond(run: &mut Run) {
    let (waiters, rounds) = (run.number("waiters", 2000), run.number("rounds", 5));
    run.start();
    let (time, through) = (0..rounds).fold((Duration::ZERO, 0), |(time, through), _| {
        let (took, passed) = broadcast(waiters);
        (time + took, through + passed)
    });
    run.stop(0);
    run.value = time.as_nanos() as f64 / 1e6 / rounds as f64;
    run.prove("through", through, waiters * rounds);
}
