// SPDX-License-Identifier: MIT

import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.util.Arrays;
import java.util.concurrent.ForkJoinTask;
import java.util.concurrent.RecursiveAction;
import java.util.concurrent.RecursiveTask;

/** Tasks that are joined: a ForkJoinPool's. */
final class Tasks {
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

    static void fork() {
        int n = (int) Run.number("n", 38);
        long tasks = fibonacci(n + 1) - 1;
        Run.start();
        long got = Run.pool.invoke(new Fib(n));
        Run.stop(tasks);
        Run.prove("fib", got, fibonacci(n));
        Run.prove("tasks", tasks, tasks);
    }

    // integrate: bench/integrate.c

    private static double epsilon;

    private static double f(double x) {
        return x * (x * x + 1);
    }

    private static final class Integral extends RecursiveAction {
        private final double x1, y1, x2, y2;
        double area; // first below the chord
        long areas;

        Integral(double x1, double y1, double x2, double y2, double area) {
            this.x1 = x1;
            this.y1 = y1;
            this.x2 = x2;
            this.y2 = y2;
            this.area = area;
        }

        @Override
        protected void compute() {
            double width = (x2 - x1) / 2, x = x1 + width, y = f(x);
            double low = (y1 + y) / 2 * width, high = (y + y2) / 2 * width;
            if (Math.abs(low + high - area) < epsilon) {
                area = low + high;
                areas = 1;
                return;
            }
            Integral left = new Integral(x1, y1, x, y, low), right = new Integral(x, y, x2, y2, high);
            right.fork();
            left.compute();
            right.join();
            area = left.area + right.area;
            areas = left.areas + right.areas;
        }
    }

    static void integrate() {
        double n = Run.real("n", 1000), exact = n * n * (n * n + 2) / 4;
        epsilon = Run.real("epsilon", 1e-9);
        Integral all = new Integral(0, 0, n, f(n), 0);
        Run.start();
        Run.pool.invoke(all);
        Run.stop(0);
        Run.prove("areas", all.areas, all.areas);
        Run.prove("right", Math.abs(all.area - exact) <= epsilon * all.areas + exact * 1e-13);
    }

    static void flat() {
        int tasks = (int) Run.number("tasks", 1000000);
        byte[] touched = new byte[tasks];
        Run.start();
        Run.pool.invoke(new RecursiveAction() {
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
        Run.stop(tasks);
        long once = 0;
        for (byte times : touched)
            once += times == 1 ? 1 : 0;
        Run.prove("ran", once, tasks);
    }

    static void batch() {
        int batches = (int) Run.number("batches", 1000), tasks = (int) Run.number("tasks", 1000);
        int[] counts = new int[tasks];
        Run.start();
        Run.pool.invoke(new RecursiveAction() {
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
        Run.stop((long) batches * tasks);
        Run.prove("ran", Arrays.stream(counts).asLongStream().sum(), (long) batches * tasks);
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

    static void skynet() {
        long leaves = (long) Math.pow(10, Run.number("levels", 6));
        Run.start();
        long sum = Run.pool.invoke(new Skynet(0, leaves));
        Run.stop(0);
        Run.prove("sum", sum, leaves * (leaves - 1) / 2);
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
                default -> throw new Run.Cannot("of the UTS trees it knows T1, T3, T5, T1L, T3L and default");
            };
        }
    }

    private static Tree tree;
    private static final ThreadLocal<MessageDigest> sha1 = ThreadLocal.withInitial(() -> {
        try {
            return MessageDigest.getInstance("SHA-1");
        } catch (java.security.NoSuchAlgorithmException e) {
            throw new Run.Cannot("it has no SHA-1");
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

    static void uts() {
        tree = Tree.named(Run.arguments.getOrDefault("tree", "T1"));
        Run.start();
        Node root = new Node(new byte[16], tree.seed, 0);
        Run.pool.invoke(root);
        Run.stop(0);
        Run.prove("nodes", root.nodes, tree.nodes);
        Run.prove("depth", root.deepest, tree.deepest);
        Run.prove("leaves", root.leaves, tree.leaves);
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

    static void queens() {
        long[] known = {1, 1, 0, 0, 2, 10, 4, 40, 92, 352, 724, 2680, 14200, 73712, 365596, 2279184, 14772512};
        queens = (int) Run.number("n", 12);
        pairs = Run.arguments.getOrDefault("test", "pairs").equals("pairs");
        Run.start();
        long solutions = Run.pool.invoke(new Board(new byte[queens], 0));
        Run.stop(0);
        Run.prove("solutions", solutions, known[queens]);
    }
}
