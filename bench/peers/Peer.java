// SPDX-License-Identifier: MIT

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.ForkJoinTask;
import java.util.concurrent.RecursiveAction;
import java.util.concurrent.RecursiveTask;
import java.util.concurrent.SynchronousQueue;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.ReentrantLock;

/**
 * Java: where tasks come from tasks and are joined they are RecursiveTasks of a ForkJoinPool of --workers; where they wait they are
 * threads, the kernel's, one to one (virtual threads are younger than Debian's Java), with queues, latches and locks of
 * java.util.concurrent. So sizes are small where many threads are there at once.
 *
 * The serial parts are written in Java again, and the virtual machine compiles them while they run: one warm-up is what everybody gets.
 * CPU time comes in steps of 10 ms.
 */
final class Peer {
    private static final Map<String, String> arguments = new LinkedHashMap<>();
    private static final Map<String, Long> check = new LinkedHashMap<>();
    private static final Map<String, String> more = new LinkedHashMap<>();
    private static boolean wrong;
    private static long begin;
    private static double beginCpu, value, wallMs, cpuMs;
    private static ForkJoinPool pool;

    private static final class Cannot extends RuntimeException {
        Cannot(String why) {
            super(why);
        }
    }

    private interface Body {
        void run() throws Exception;
    }

    private static long number(String key, long otherwise) {
        String text = arguments.get(key);
        return text == null ? otherwise : (long) Double.parseDouble(text);
    }

    // ---- clocks and checks ----

    private static String line(String path, String start) {
        try {
            for (String line : Files.readAllLines(Path.of(path)))
                if (line.startsWith(start))
                    return line.substring(start.length()).trim();
        } catch (IOException e) {
            // no /proc: 0
        }
        return "0 0";
    }

    private static long memory(String field) {
        return Long.parseLong(line("/proc/self/status", field).split("\\s+")[0]) * 1024;
    }

    private static double cpuTime() {
        var bean = (com.sun.management.OperatingSystemMXBean) java.lang.management.ManagementFactory.getOperatingSystemMXBean();
        return bean.getProcessCpuTime() / 1e6;
    }

    private static void start() {
        beginCpu = cpuTime();
        begin = System.nanoTime();
    }

    private static void stop(long count) {
        double wall = System.nanoTime() - begin;
        cpuMs = cpuTime() - beginCpu;
        wallMs = wall / 1e6;
        value = count > 0 ? wall / count : wallMs;
    }

    private static void prove(String name, long got, long expected) {
        check.put(name, got);
        if (got != expected) {
            System.err.println("wrong: " + name + " is " + got + ", not " + expected);
            wrong = true;
        }
    }

    private static void also(String name, String unit, double figure) {
        more.put(name, "{\"unit\": \"" + unit + "\", \"value\": " + figure + "}");
    }

    /** splitmix64, as in bench/util.h. */
    private static final class Dice {
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

    // ---- fork-join ----

    private static final class Fib extends RecursiveTask<Long> {
        private final int n;

        Fib(int n) {
            this.n = n;
        }

        @Override
        protected Long compute() {
            if (n < 2)
                return (long) n;
            Fib left = new Fib(n - 1);
            left.fork();
            long right = new Fib(n - 2).compute();
            return left.join() + right;
        }
    }

    private static long fibonacci(long n) {
        long a = 0, b = 1;
        for (; n > 0; n--) {
            long sum = a + b;
            a = b;
            b = sum;
        }
        return a;
    }

    private static void fork() {
        int n = (int) number("n", 38);
        long tasks = fibonacci(n + 1) - 1;
        start();
        long got = pool.invoke(new Fib(n));
        stop(tasks);
        prove("fib", got, fibonacci(n));
        prove("tasks", tasks, tasks);
    }

    private static void flat() {
        int tasks = (int) number("tasks", 1000000);
        byte[] touched = new byte[tasks];
        start();
        pool.invoke(new RecursiveAction() {
            @Override
            protected void compute() {
                ForkJoinTask<?>[] all = new ForkJoinTask<?>[tasks];
                for (int i = 0; i < tasks; i++) {
                    int mine = i;
                    all[i] = ForkJoinTask.adapt(() -> {
                        touched[mine]++;
                    }).fork();
                }
                for (int i = tasks; i-- > 0;)
                    all[i].join();
            }
        });
        stop(tasks);
        long once = 0;
        for (byte times : touched)
            once += times == 1 ? 1 : 0;
        prove("ran", once, tasks);
    }

    private static void batch() {
        int batches = (int) number("batches", 1000), tasks = (int) number("tasks", 1000);
        int[] counts = new int[tasks];
        start();
        pool.invoke(new RecursiveAction() {
            @Override
            protected void compute() {
                ForkJoinTask<?>[] all = new ForkJoinTask<?>[tasks];
                for (int k = 0; k < batches; k++) {
                    for (int i = 0; i < tasks; i++) {
                        int mine = i;
                        all[i] = ForkJoinTask.adapt(() -> {
                            counts[mine]++;
                        }).fork();
                    }
                    for (int i = tasks; i-- > 0;)
                        all[i].join();
                }
            }
        });
        stop((long) batches * tasks);
        prove("ran", Arrays.stream(counts).asLongStream().sum(), (long) batches * tasks);
    }

    private static final class Skynet extends RecursiveTask<Long> {
        private final long first, length;

        Skynet(long first, long length) {
            this.first = first;
            this.length = length;
        }

        @Override
        protected Long compute() {
            if (length == 1)
                return first;
            Skynet[] parts = new Skynet[10];
            for (int i = 0; i < 10; i++) {
                parts[i] = new Skynet(first + i * (length / 10), length / 10);
                parts[i].fork();
            }
            long sum = 0;
            for (int i = 10; i-- > 0;)
                sum += parts[i].join();
            return sum;
        }
    }

    private static void skynet() {
        long leaves = (long) Math.pow(10, number("levels", 6));
        start();
        long sum = pool.invoke(new Skynet(0, leaves));
        stop(0);
        prove("sum", sum, leaves * (leaves - 1) / 2);
    }

    // uts: bench/uts_tree.h

    private record Tree(boolean binomial, boolean linear, double b0, double q, int depth, int m, int seed, long nodes, long leaves, long deepest) {
        static Tree named(String name) {
            return switch (name) {
                case "T1" -> new Tree(false, false, 4, 0, 10, 0, 19, 4130071, 3305118, 10);
                case "T3" -> new Tree(true, false, 2000, 0.124875, 0, 8, 42, 4112897, 3599034, 1572);
                case "T5" -> new Tree(false, true, 4, 0, 20, 0, 34, 4147582, 2181318, 20);
                case "T1L" -> new Tree(false, false, 4, 0, 13, 0, 29, 102181082, 81746377, 13);
                case "T3L" -> new Tree(true, false, 2000, 0.200014, 0, 5, 7, 111345631, 89076904, 17844);
                case "default" -> new Tree(false, true, 4, 0, 6, 0, 0, 1732, 1050, 6);
                default -> throw new Cannot("of the UTS trees it knows T1, T3, T5, T1L, T3L and default");
            };
        }
    }

    private static Tree tree;
    private static final ThreadLocal<MessageDigest> sha1 = ThreadLocal.withInitial(() -> {
        try {
            return MessageDigest.getInstance("SHA-1");
        } catch (java.security.NoSuchAlgorithmException e) {
            throw new Cannot("it has no SHA-1");
        }
    });

    private static final class Node extends RecursiveAction {
        private final byte[] state;
        private final int depth;
        long nodes = 1, leaves, deepest;

        Node(byte[] prefix, int number, int depth) {
            state = sha1.get().digest(ByteBuffer.allocate(prefix.length + 4).put(prefix).putInt(number).array());
            this.depth = depth;
            deepest = depth;
        }

        private int children() {
            double u = (ByteBuffer.wrap(state).getInt(16) & 0x7fffffff) / 2147483648.0;
            if (tree.binomial)
                return depth == 0 ? (int) tree.b0 : u < tree.q ? tree.m : 0;
            double b = tree.linear ? tree.b0 * (1 - (double) depth / tree.depth) : depth < tree.depth ? tree.b0 : 0;
            double children = Math.floor(Math.log(1 - u) / Math.log(1 - 1 / (1 + b)));
            return children > 0 ? (int) Math.min(children, 100) : 0;
        }

        @Override
        protected void compute() {
            Node[] below = new Node[children()];
            for (int i = 0; i < below.length; i++) {
                below[i] = new Node(state, i, depth + 1);
                below[i].fork();
            }
            leaves = below.length == 0 ? 1 : 0;
            for (int i = below.length; i-- > 0;) {
                below[i].join();
                nodes += below[i].nodes;
                leaves += below[i].leaves;
                deepest = Math.max(deepest, below[i].deepest);
            }
        }
    }

    private static void uts() {
        tree = Tree.named(arguments.getOrDefault("tree", "T1"));
        start();
        Node root = new Node(new byte[16], tree.seed, 0);
        pool.invoke(root);
        stop(0);
        prove("nodes", root.nodes, tree.nodes);
        prove("depth", root.deepest, tree.deepest);
        prove("leaves", root.leaves, tree.leaves);
    }

    private static int queens;
    private static boolean pairs;

    private static final class Board extends RecursiveTask<Long> {
        private final byte[] column;
        private final int row;

        Board(byte[] column, int row) {
            this.column = column;
            this.row = row;
        }

        private boolean free(int at, int where) {
            for (int i = 0; i < at; i++) {
                int distance = column[i] - where;
                if (distance == 0 || distance == at - i || distance == i - at)
                    return false;
            }
            return true;
        }

        private boolean safe(int where) {
            for (int i = pairs ? 1 : row; i < row; i++)
                if (!free(i, column[i]))
                    return false;
            return free(row, where);
        }

        @Override
        protected Long compute() {
            if (row == queens)
                return 1L;
            Board[] next = new Board[queens];
            int count = 0;
            for (int where = 0; where < queens; where++) {
                if (!safe(where))
                    continue;
                byte[] placed = column.clone();
                placed[row] = (byte) where;
                next[count] = new Board(placed, row + 1);
                next[count++].fork();
            }
            long solutions = 0;
            while (count-- > 0)
                solutions += next[count].join();
            return solutions;
        }
    }

    private static void queens() {
        long[] known = {1, 1, 0, 0, 2, 10, 4, 40, 92, 352, 724, 2680, 14200, 73712, 365596, 2279184, 14772512};
        queens = (int) number("n", 12);
        pairs = arguments.getOrDefault("test", "pairs").equals("pairs");
        start();
        long solutions = pool.invoke(new Board(new byte[queens], 0));
        stop(0);
        prove("solutions", solutions, known[queens]);
    }

    // sort: Java's integers are signed, so those of the workload are shifted by 2^31, which keeps their order.

    private static int grain;

    private static void sortSerial(int[] a, int[] b, int from, int to, boolean over) {
        if (to - from <= 12) {
            for (int i = from + 1; i < to; i++) {
                int moved = a[i], j = i;
                for (; j > from && a[j - 1] > moved; j--)
                    a[j] = a[j - 1];
                a[j] = moved;
            }
            if (over)
                System.arraycopy(a, from, b, from, to - from);
            return;
        }
        int half = from + (to - from) / 2;
        sortSerial(a, b, from, half, !over);
        sortSerial(a, b, half, to, !over);
        if (over)
            mergeSerial(a, from, half, half, to, b, from);
        else
            mergeSerial(b, from, half, half, to, a, from);
    }

    private static void mergeSerial(int[] in, int i, int iEnd, int j, int jEnd, int[] out, int k) {
        while (i < iEnd && j < jEnd)
            out[k++] = in[i] <= in[j] ? in[i++] : in[j++];
        System.arraycopy(in, i, out, k, iEnd - i);
        System.arraycopy(in, j, out, k + iEnd - i, jEnd - j);
    }

    private static final class Merge extends RecursiveAction {
        private final int[] in, out;
        private final int i, iEnd, j, jEnd, k;

        Merge(int[] in, int i, int iEnd, int j, int jEnd, int[] out, int k) {
            boolean swap = iEnd - i < jEnd - j;
            this.in = in;
            this.out = out;
            this.i = swap ? j : i;
            this.iEnd = swap ? jEnd : iEnd;
            this.j = swap ? i : j;
            this.jEnd = swap ? iEnd : jEnd;
            this.k = k;
        }

        @Override
        protected void compute() {
            if (iEnd - i + jEnd - j <= grain) {
                mergeSerial(in, i, iEnd, j, jEnd, out, k);
                return;
            }
            int iHalf = i + (iEnd - i) / 2, low = j, high = jEnd;
            while (low < high) {
                int middle = (low + high) >>> 1;
                if (in[middle] < in[iHalf])
                    low = middle + 1;
                else
                    high = middle;
            }
            Merge first = new Merge(in, i, iHalf, j, low, out, k);
            first.fork();
            new Merge(in, iHalf, iEnd, low, jEnd, out, k + iHalf - i + low - j).compute();
            first.join();
        }
    }

    private static final class Sort extends RecursiveAction {
        private final int[] a, b;
        private final int from, to;
        private final boolean over;

        Sort(int[] a, int[] b, int from, int to, boolean over) {
            this.a = a;
            this.b = b;
            this.from = from;
            this.to = to;
            this.over = over;
        }

        @Override
        protected void compute() {
            if (to - from <= grain) {
                sortSerial(a, b, from, to, over);
                return;
            }
            int half = from + (to - from) / 2;
            Sort low = new Sort(a, b, from, half, !over);
            low.fork();
            new Sort(a, b, half, to, !over).compute();
            low.join();
            new Merge(over ? a : b, from, half, half, to, over ? b : a, from).compute();
        }
    }

    private static long[] sums(int[] a) {
        long sum = 0, squares = 0;
        for (int shifted : a) {
            long one = (shifted ^ 0x80000000) & 0xffffffffL;
            sum += one;
            squares += one * one;
        }
        return new long[] {sum & Long.MAX_VALUE, squares & Long.MAX_VALUE};
    }

    private static void sort() {
        int n = (int) number("n", 10000000);
        grain = (int) number("grain", 16384);
        Dice dice = new Dice(number("seed", 1));
        int[] a = new int[n];
        for (int i = 0; i < n; i++)
            a[i] = (int) (dice.next() >>> 32) ^ 0x80000000;
        long[] input = sums(a);
        int[] b = new int[n];
        start();
        pool.invoke(new Sort(a, b, 0, n, false));
        stop(0);
        long ordered = 1;
        for (int i = 1; i < n; i++)
            ordered += a[i - 1] <= a[i] ? 1 : 0;
        long[] output = sums(a);
        prove("ordered", ordered, n);
        prove("sum", output[0], input[0]);
        prove("squares", output[1], input[1]);
    }

    private static double[] a, b, c;
    private static int stride;

    private static final class Multiply extends RecursiveAction {
        private final int x, y, z, rows, columns, common;

        Multiply(int x, int y, int z, int rows, int columns, int common) {
            this.x = x;
            this.y = y;
            this.z = z;
            this.rows = rows;
            this.columns = columns;
            this.common = common;
        }

        private void leaf() {
            for (int i = 0; i < rows; i++)
                for (int k = 0; k < common; k++) {
                    double left = a[x + i * stride + k];
                    int row = z + i * stride, other = y + k * stride;
                    for (int j = 0; j < columns; j++)
                        c[row + j] += left * b[other + j];
                }
        }

        @Override
        protected void compute() {
            int most = Math.max(rows, Math.max(columns, common));
            if (most <= 64) {
                leaf();
                return;
            }
            int half = (most / 2 + 7) & ~7;
            if (most != rows && most != columns) {
                new Multiply(x, y, z, rows, columns, half).compute();
                new Multiply(x + half, y + half * stride, z, rows, columns, common - half).compute();
                return;
            }
            Multiply low = most == rows ? new Multiply(x, y, z, half, columns, common) : new Multiply(x, y, z, rows, half, common);
            Multiply high = most == rows ? new Multiply(x + half * stride, y, z + half * stride, rows - half, columns, common)
                    : new Multiply(x, y + half, z + half, rows, columns - half, common);
            high.fork();
            low.compute();
            high.join();
        }
    }

    private static void matmul() {
        int n = (int) number("n", 1024);
        stride = ((n + 7) & ~7) + 8;
        Dice dice = new Dice(1);
        a = new double[n * stride];
        b = new double[n * stride];
        c = new double[n * stride];
        for (int i = 0; i < a.length; i++) {
            a[i] = dice.next() & 7;
            b[i] = dice.next() & 7;
        }
        start();
        pool.invoke(new Multiply(0, 0, 0, n, n, n));
        stop(0);
        long sum = 0, trace = 0, gotSum = 0, gotTrace = 0;
        for (int k = 0; k < n; k++) {
            double down = 0, across = 0;
            for (int i = 0; i < n; i++) {
                down += a[i * stride + k];
                across += b[k * stride + i];
                trace += (long) (a[i * stride + k] * b[k * stride + i]);
                gotSum += (long) c[k * stride + i];
            }
            sum += (long) (down * across);
            gotTrace += (long) c[k * stride + k];
        }
        prove("sum", gotSum, sum);
        prove("trace", gotTrace, trace);
    }

    // ---- threads that wait ----

    private static Thread[] threads(int count, java.util.function.IntFunction<Body> bodies) {
        Thread[] all = new Thread[count];
        for (int i = 0; i < count; i++) {
            Body body = bodies.apply(i);
            all[i] = new Thread(null, () -> {
                try {
                    body.run();
                } catch (Exception e) {
                    throw new IllegalStateException(e);
                }
            }, "task", 65536);
            all[i].start();
        }
        return all;
    }

    private static void join(Thread[] all) throws InterruptedException {
        for (Thread one : all)
            one.join();
    }

    private static void yield_() throws Exception {
        int tasks = (int) number("tasks", 1000);
        long rounds = Math.max(number("switches", 1000000) / tasks, 1);
        CountDownLatch ready = new CountDownLatch(tasks), go = new CountDownLatch(1);
        AtomicLong yields = new AtomicLong();
        Thread[] all = threads(tasks, i -> () -> {
            ready.countDown();
            go.await();
            for (long k = 0; k < rounds; k++)
                Thread.yield();
            yields.addAndGet(rounds);
        });
        ready.await();
        start();
        go.countDown();
        join(all);
        stop(rounds * tasks);
        prove("yields", yields.get(), rounds * tasks);
    }

    private static void pingpong() throws Exception {
        long rounds = number("rounds", 2000000);
        SynchronousQueue<Long> there = new SynchronousQueue<>(), back = new SynchronousQueue<>();
        long[] pings = {0}, pongs = {0};
        start();
        join(threads(2, i -> i == 0 ? () -> {
            for (; pongs[0] < rounds; pongs[0]++)
                back.put(there.take());
        } : () -> {
            for (long k = 0; k < rounds; k++) {
                there.put(k);
                pings[0] += back.take() == k ? 1 : 0;
            }
        }));
        stop(rounds);
        prove("pings", pings[0], rounds);
        prove("pongs", pongs[0], rounds);
    }

    private static void chan() throws Exception {
        int senders = (int) number("senders", 1), receivers = (int) number("receivers", 1), capacity = (int) number("capacity", 256);
        long each = Math.max(number("items", 4000000) / senders, 1), last = -1;
        BlockingQueue<Long> queue = capacity > 0 ? new ArrayBlockingQueue<>(capacity) : new SynchronousQueue<>();
        AtomicLong sum = new AtomicLong(), count = new AtomicLong();
        start();
        Thread[] receiving = threads(receivers, i -> () -> {
            long mySum = 0, myCount = 0;
            for (long item; (item = queue.take()) != last; myCount++)
                mySum += item;
            sum.addAndGet(mySum);
            count.addAndGet(myCount);
        });
        join(threads(senders, i -> () -> {
            for (long item = 1; item <= each; item++)
                queue.put(item);
        }));
        for (int i = 0; i < receivers; i++)
            queue.put(last);
        join(receiving);
        stop(each * senders);
        prove("items", count.get(), each * senders);
        prove("sum", sum.get(), senders * (each * (each + 1) / 2));
    }

    private static void park() throws Exception {
        int tasks = (int) number("tasks", 10000);
        long before = memory("VmRSS:");
        CountDownLatch arrived = new CountDownLatch(tasks), go = new CountDownLatch(1);
        AtomicLong woken = new AtomicLong();
        start();
        Thread[] all = threads(tasks, i -> () -> {
            arrived.countDown();
            go.await();
            woken.incrementAndGet();
        });
        arrived.await();
        stop(0);
        also("memory", "bytes/task", (double) (memory("VmRSS:") - before) / tasks);
        long wake = System.nanoTime();
        go.countDown();
        join(all);
        also("wake", "ms", (System.nanoTime() - wake) / 1e6);
        prove("woken", woken.get(), tasks);
    }

    private static void timers() throws Exception {
        int tasks = (int) number("tasks", 5000);
        long longest = number("longest", 1000) * 1000000;
        Dice dice = new Dice(number("seed", 1));
        long[] naps = new long[tasks];
        double[] late = new double[tasks];
        for (int i = 0; i < tasks; i++)
            naps[i] = Long.remainderUnsigned(dice.next(), longest);
        start();
        join(threads(tasks, i -> () -> {
            long before = System.nanoTime();
            Thread.sleep(naps[i] / 1000000, (int) (naps[i] % 1000000));
            late[i] = (System.nanoTime() - before - naps[i]) / 1e3;
        }));
        stop(0);
        value = cpuMs;
        Arrays.sort(late);
        long early = Arrays.stream(late).filter(one -> one < 0).count();
        also("lateness_us.p50", "us", late[(tasks - 1) / 2]);
        also("lateness_us.p99", "us", late[(int) ((tasks * 99L + 99) / 100) - 1]);
        also("lateness_us.max", "us", late[tasks - 1]);
        prove("slept", tasks, tasks);
        prove("early", early, 0);
    }

    private static long counter, longest;

    private static void mutex() throws Exception {
        int tasks = (int) number("tasks", 1);
        if (number("inside", 0) != 0)
            throw new Cannot("it has nothing to do inside the lock");
        long turns = Math.max(number("pairs", 20000000) / tasks, 1), fewer = Math.max(turns / 10, 1);
        ReentrantLock lock = new ReentrantLock();
        counter = longest = 0;
        start();
        join(threads(tasks, i -> () -> {
            for (long k = 0; k < turns; k++) {
                lock.lock();
                try {
                    counter++;
                } finally {
                    lock.unlock();
                }
            }
        }));
        stop(turns * tasks);
        join(threads(tasks, i -> () -> {
            for (long k = 0; k < fewer; k++) {
                long before = System.nanoTime();
                lock.lock();
                try {
                    longest = Math.max(longest, System.nanoTime() - before);
                    counter++;
                } finally {
                    lock.unlock();
                }
            }
        }));
        also("longest wait", "us", longest / 1e3);
        prove("counter", counter, (turns + fewer) * tasks);
    }

    // ---- main ----

    private record Workload(String unit, String most, Body body) {}

    private static final Map<String, Workload> workloads = new LinkedHashMap<>();

    static {
        workloads.put("fork", new Workload("ns/task", "", Peer::fork));
        workloads.put("flat", new Workload("ns/task", "", Peer::flat));
        workloads.put("batch", new Workload("ns/task", "", Peer::batch));
        workloads.put("skynet", new Workload("ms", "", Peer::skynet));
        workloads.put("uts", new Workload("ms", "", Peer::uts));
        workloads.put("queens", new Workload("ms", "", Peer::queens));
        workloads.put("sort", new Workload("ms", "", Peer::sort));
        workloads.put("matmul", new Workload("ms", "", Peer::matmul));
        workloads.put("yield", new Workload("ns/switch", "\"switches\": 200000", Peer::yield_));
        workloads.put("pingpong", new Workload("ns/round", "\"rounds\": 100000", Peer::pingpong));
        workloads.put("chan", new Workload("ns/item", "", Peer::chan));
        workloads.put("park", new Workload("ms", "\"tasks\": 5000", Peer::park));
        workloads.put("timers", new Workload("ms CPU", "\"tasks\": 5000", Peer::timers));
        workloads.put("mutex", new Workload("ns/pair", "", Peer::mutex));
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
            arguments.put(words[i].replaceFirst("^--", ""), words[i + 1]);
        Workload workload = workloads.get(words[0]);
        int workers = (int) number("workers", 1);
        pool = new ForkJoinPool(workers);
        try {
            if (workload == null)
                throw new Cannot("it has no means for that workload");
            for (int turn = 0; turn < 2; turn++) {
                check.clear();
                more.clear();
                if (turn == 1)
                    try {
                        Files.writeString(Path.of("/proc/self/clear_refs"), "5");
                    } catch (IOException e) {
                        // the peak then includes the warm-up
                    }
                workload.body.run();
            }
        } catch (Cannot e) {
            System.err.println(e.getMessage());
            System.exit(3);
        }
        System.out.println("{\"peer\": \"java\", \"version\": \"" + version() + "\", \"workload\": \"" + words[0] + "\", \"unit\": \"" + workload.unit
                + "\", \"value\": " + value + ", \"workers\": " + workers + ", \"check\": " + object(check) + ", \"wall_ms\": " + wallMs
                + ", \"cpu_ms\": " + cpuMs + ", \"peak_rss\": " + memory("VmHWM:") + ", \"more\": " + object(more) + "}");
        System.exit(wrong ? 1 : 0);
    }
}
