// SPDX-License-Identifier: MIT

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.ForkJoinPool;

/** Arguments, clocks and checks: what all workloads share. */
final class Run {
    static final Map<String, String> arguments = new LinkedHashMap<>();
    static final Map<String, Long> check = new LinkedHashMap<>();
    static final Map<String, String> more = new LinkedHashMap<>();
    static boolean wrong;
    static long begin;
    static double beginCpu, value, wallMs, cpuMs;
    static ForkJoinPool pool;

    static final class Cannot extends RuntimeException {
        Cannot(String why) {
            super(why);
        }
    }

    interface Body {
        void run() throws Exception;
    }

    static double real(String key, double otherwise) {
        String text = arguments.get(key);
        return text == null ? otherwise : Double.parseDouble(text);
    }

    static long number(String key, long otherwise) {
        return (long) real(key, otherwise);
    }

    // ---- clocks and checks ----

    static String line(String path, String start) {
        try {
            for (String line : Files.readAllLines(Path.of(path)))
                if (line.startsWith(start))
                    return line.substring(start.length()).trim();
        } catch (IOException e) {
            // no /proc: 0
        }
        return "0 0";
    }

    static long memory(String field) {
        return Long.parseLong(line("/proc/self/status", field).split("\\s+")[0]) * 1024;
    }

    static double cpuTime() {
        var bean = (com.sun.management.OperatingSystemMXBean) java.lang.management.ManagementFactory.getOperatingSystemMXBean();
        return bean.getProcessCpuTime() / 1e6;
    }

    static void start() {
        beginCpu = cpuTime();
        begin = System.nanoTime();
    }

    static void stop(long count) {
        double wall = System.nanoTime() - begin;
        cpuMs = cpuTime() - beginCpu;
        wallMs = wall / 1e6;
        value = count > 0 ? wall / count : wallMs;
    }

    static void prove(String name, long got, long expected) {
        check.put(name, got);
        if (got != expected) {
            System.err.println("wrong: " + name + " is " + got + ", not " + expected);
            wrong = true;
        }
    }

    static void prove(String name, boolean right) {
        prove(name, right ? 1 : 0, 1);
    }

    static void also(String name, String unit, double figure) {
        more.put(name, "{\"unit\": \"" + unit + "\", \"value\": " + figure + "}");
    }

    /** How late all were, in us; sorts them. */
    static void lateness(double[] late) {
        Arrays.sort(late);
        for (int permille : new int[] {100, 250, 500, 750, 900, 950, 980, 990, 995, 999})
            also("lateness_us.p" + permille / 10 + (permille % 10 > 0 ? "." + permille % 10 : ""), "us",
                    late[(int) ((late.length * (long) permille + 999) / 1000) - 1]);
        also("lateness_us.max", "us", late[late.length - 1]);
    }

    /** splitmix64, as in bench/util.h. */
    static final class Dice {
        private long state;

        Dice(long seed) {
            state = seed;
        }

        long next() {
            long z = state += 0x9e3779b97f4a7c15L;
            z = (z ^ (z >>> 30)) * 0xbf58476d1ce4e5b9L;
            z = (z ^ (z >>> 27)) * 0x94d049bb133111ebL;
            return z ^ (z >>> 31);
        }
    }
}
