// SPDX-License-Identifier: MIT

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.ForkJoinPool;

/**
 * Java: where tasks come from tasks and are joined they are RecursiveTasks of a ForkJoinPool of --workers; where they wait they are
 * threads, the kernel's, one to one (virtual threads are younger than Debian's Java), with queues, latches and locks of
 * java.util.concurrent. So sizes are small where many threads are there at once. A parallel loop is a parallel stream, within the pool, and
 * what depends on something is a CompletableFuture. There is nothing to select among queues with. The deep UTS trees would overflow the
 * stacks of the pool, on which a join runs other tasks.
 *
 * The serial parts are written in Java again, and the virtual machine compiles them while they run: one warm-up is what everybody gets.
 * CPU time comes in steps of 10 ms.
 */
final class Peer {
    private record Workload(String unit, String most, Run.Body body) {}

    private static final Map<String, Workload> workloads = new LinkedHashMap<>();

    static {
        put("fork", "ns/task", "", Tasks::fork);
        put("integrate", "ms", "", Tasks::integrate);
        put("stuck", "ms", "", Waiting::stuck);
        put("flat", "ns/task", "", Tasks::flat);
        put("batch", "ns/task", "", Tasks::batch);
        put("skynet", "ms", "", Tasks::skynet);
        put("uts", "ms", "\"tree\": \"T1|T3|T5|default\"", Tasks::uts);
        put("queens", "ms", "", Tasks::queens);
        put("sort", "ms", "", Data::sort);
        put("matmul", "ms", "", Matrices::matmul);
        put("strassen", "ms", "", Matrices::strassen);
        put("cholesky", "ms", "", Matrices::cholesky);
        put("nbody", "ms", "", Data::nbody);
        put("wavefront", "ms", "", Data::wavefront);
        put("histogram", "ms", "", Data::histogram);
        put("yield", "ns/switch", "\"switches\": 200000", Waiting::yield_);
        put("pingpong", "ns/round", "\"rounds\": 100000", Waiting::pingpong);
        put("threadring", "ns/pass", "\"passes\": 100000", Waiting::threadring);
        put("chameneos", "ns/meeting", "\"meetings\": 50000", Waiting::chameneos);
        put("chan", "ns/item", "", Waiting::chan);
        put("prodcons", "ns/hop", "\"items\": 20000", Waiting::prodcons);
        put("park", "ms", "\"tasks\": 5000", Waiting::park);
        put("cancel", "ms", "\"tasks\": 2000", Waiting::cancel);
        put("timers", "ms CPU", "\"tasks\": 5000", Waiting::timers);
        put("mix", "us/unit", "", Waiting::mix);
        put("mutex", "ns/pair", "", Waiting::mutex);
        put("rwlock", "ns/pair", "", Waiting::rwlock);
        put("sem", "ns/pair", "", Waiting::sem);
        put("cond", "ms", "\"waiters\": 1000", Waiting::cond);
    }

    private static void put(String name, String unit, String most, Run.Body body) {
        workloads.put(name, new Workload(unit, most, body));
    }

    private static String version() {
        return System.getProperty("java.vm.name") + " " + System.getProperty("java.vm.version");
    }

    private static void list() {
        StringBuilder text = new StringBuilder("{\"peer\": \"java\", \"version\": \"" + version() + "\", \"workloads\": {");
        workloads.forEach((name, workload) -> text.append(text.charAt(text.length() - 1) == '{' ? "" : ", ").append("\"" + name + "\": {" + workload.most + "}"));
        System.out.println(text + "}}");
    }

    private static String object(Map<String, ?> map) {
        StringBuilder text = new StringBuilder("{");
        map.forEach((key, one) -> text.append(text.length() > 1 ? ", " : "").append("\"" + key + "\": " + one));
        return text + "}";
    }

    public static void main(String[] words) throws Exception {
        if (words.length == 1 && words[0].equals("--list")) {
            list();
            return;
        }
        if (words.length % 2 == 0) {
            System.err.println("usage: peer-java --list\n       peer-java WORKLOAD --workers N [--KEY VALUE]...");
            System.exit(2);
        }
        for (int i = 1; i + 1 < words.length; i += 2)
            Run.arguments.put(words[i].replaceFirst("^--", ""), words[i + 1]);
        Workload workload = workloads.get(words[0]);
        int workers = (int) Run.number("workers", 1);
        Run.pool = new ForkJoinPool(workers);
        try {
            if (workload == null)
                throw new Run.Cannot("it has no means for that workload");
            for (int turn = 0; turn < 2; turn++) {
                Run.check.clear();
                Run.more.clear();
                if (turn == 1)
                    try {
                        Files.writeString(Path.of("/proc/self/clear_refs"), "5");
                    } catch (IOException e) {
                        // the peak then includes the warm-up
                    }
                workload.body.run();
            }
        } catch (Run.Cannot e) {
            System.err.println(e.getMessage());
            System.exit(3);
        }
        System.out.println("{\"peer\": \"java\", \"version\": \"" + version() + "\", \"workload\": \"" + words[0] + "\", \"unit\": \"" + workload.unit
                + "\", \"value\": " + Run.value + ", \"workers\": " + workers + ", \"check\": " + object(Run.check) + ", \"wall_ms\": " + Run.wallMs
                + ", \"cpu_ms\": " + Run.cpuMs + ", \"peak_rss\": " + Run.memory("VmHWM:") + ", \"more\": " + object(Run.more) + "}");
        System.exit(Run.wrong ? 1 : 0);
    }
}
