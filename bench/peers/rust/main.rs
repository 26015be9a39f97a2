// SPDX-License-Identifier: MIT

//! Rust's standard library: the 1:1 model with borrowed data. A task is a scoped thread (std::thread::scope), channels are std::sync::mpsc,
//! and the rest is Mutex, RwLock, Condvar, yield_now and sleep. No crates: what one gets with Rust is the question. So sizes are small. A
//! parallel loop is a thread a processor, which draw parts from one iterator.
//!
//! The serial parts are written in Rust again; products of matrices with the vectors of the machine that runs it, as filch's. A channel of
//! mpsc has one receiver, so chan takes no more, there is nothing to select with, and a meeting place is a thread that receives. The
//! standard library has no SHA-1 for uts, no semaphore, and no way to call off a thread.

use std::time::Instant;

mod arrays;
mod matrices;
mod run;
mod tasks;
mod waiting;

type Work = fn(&mut run::Run);

const WORKLOADS: [(&str, &str, &str, Work); 26] = [
    ("fork", "ns/task", "\"n\": 20", tasks::run_fork),
    ("integrate", "ms", "\"n\": 10", tasks::run_integrate),
    ("stuck", "ms", "", waiting::run_stuck),
    ("flat", "ns/task", "\"tasks\": 10000", tasks::run_flat),
    ("batch", "ns/task", "\"batches\": 20", tasks::run_batch),
    ("skynet", "ms", "\"levels\": 3", tasks::run_skynet),
    ("queens", "ms", "\"n\": 8", tasks::run_queens),
    ("sort", "ms", "", arrays::run_sort),
    ("matmul", "ms", "", matrices::run_matmul),
    ("strassen", "ms", "", matrices::run_strassen),
    ("cholesky", "ms", "", matrices::run_cholesky),
    ("nbody", "ms", "", arrays::run_nbody),
    ("wavefront", "ms", "", arrays::run_wavefront),
    ("histogram", "ms", "", arrays::run_histogram),
    ("yield", "ns/switch", "\"switches\": 200000", waiting::run_yield),
    ("pingpong", "ns/round", "\"rounds\": 100000", waiting::run_pingpong),
    ("threadring", "ns/pass", "\"passes\": 100000", waiting::run_threadring),
    ("chameneos", "ns/meeting", "\"meetings\": 50000", waiting::run_chameneos),
    ("chan", "ns/item", "", waiting::run_chan),
    ("prodcons", "ns/hop", "\"items\": 20000", waiting::run_prodcons),
    ("park", "ms", "\"tasks\": 10000", waiting::run_park),
    ("timers", "ms CPU", "\"tasks\": 5000", waiting::run_timers),
    ("mix", "us/unit", "", waiting::run_mix),
    ("mutex", "ns/pair", "", waiting::run_mutex),
    ("rwlock", "ns/pair", "", waiting::run_rwlock),
    ("cond", "ms", "\"waiters\": 2000", waiting::run_cond),
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
    let mut run = run::Run {
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
        None => run::cannot("it has no means for that workload"),
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
        version,
        name,
        unit,
        run.value,
        run.number("workers", 1),
        check.join(", "),
        run.wall_ms,
        run.cpu_ms,
        run::memory("VmHWM:"),
        more.join(", ")
    );
    std::process::exit(i32::from(run.wrong));
}
