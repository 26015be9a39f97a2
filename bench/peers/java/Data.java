// SPDX-License-Identifier: MIT

import java.util.Arrays;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.RecursiveAction;
import java.util.stream.IntStream;

/** Tasks over arrays. A parallel loop is a parallel stream within the pool; what depends on something is a CompletableFuture. */
final class Data {
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

    static void sort() {
        int n = (int) Run.number("n", 10000000);
        grain = (int) Run.number("grain", 16384);
        Run.Dice dice = new Run.Dice(Run.number("seed", 1));
        int[] a = new int[n];
        for (int i = 0; i < n; i++)
            a[i] = (int) (dice.next() >>> 32) ^ 0x80000000;
        long[] input = sums(a);
        int[] b = new int[n];
        Run.start();
        Run.pool.invoke(new Sort(a, b, 0, n, false));
        Run.stop(0);
        long ordered = 1;
        for (int i = 1; i < n; i++)
            ordered += a[i - 1] <= a[i] ? 1 : 0;
        long[] output = sums(a);
        Run.prove("ordered", ordered, n);
        Run.prove("sum", output[0], input[0]);
        Run.prove("squares", output[1], input[1]);
    }

    // nbody: bench/nbody.c

    private static final double REACH = 7;

    /** What a body is: a position, a speed, and a number. */
    private static final class Bodies {
        final double[] x, y, z, vx, vy, vz;
        final int[] id;

        Bodies(int count) {
            x = new double[count];
            y = new double[count];
            z = new double[count];
            vx = new double[count];
            vy = new double[count];
            vz = new double[count];
            id = new int[count];
        }

        void take(int to, Bodies from, int i) {
            x[to] = from.x[i];
            y[to] = from.y[i];
            z[to] = from.z[i];
            vx[to] = from.vx[i];
            vy[to] = from.vy[i];
            vz[to] = from.vz[i];
            id[to] = from.id[i];
        }

        void drift(double dt) {
            for (int i = 0; i < x.length; i++) {
                x[i] += vx[i] * dt / 2;
                y[i] += vy[i] * dt / 2;
                z[i] += vz[i] * dt / 2;
            }
        }
    }

    private static final class World {
        private final double radius, dt;
        private final int count, width;
        private final int[] cell, first;
        final double[] energy;
        final long[] near;
        Bodies now, next;

        World(int count, double radius, double dt) {
            this.count = count;
            this.radius = radius;
            this.dt = dt;
            width = 2 * (int) Math.ceil(REACH / radius + 1);
            cell = new int[count];
            first = new int[width * width * width + 1];
            energy = new double[count];
            near = new long[count];
            now = new Bodies(count);
            next = new Bodies(count);
        }

        private int along(double at) {
            double cell = Math.floor(at / radius) + width / 2;
            return cell < 0 ? 0 : cell < width ? (int) cell : width - 1;
        }

        void sortIntoCells() {
            Arrays.fill(first, 0);
            for (int i = 0; i < count; i++) {
                cell[i] = (along(now.z[i]) * width + along(now.y[i])) * width + along(now.x[i]);
                first[cell[i] + 1]++;
            }
            for (int i = 1; i < first.length; i++)
                first[i] += first[i - 1];
            for (int i = count; i-- > 0;)
                next.take(--first[cell[i] + 1], now, i);
            System.arraycopy(first, 1, first, 0, first.length - 1);
            first[first.length - 1] = count;
            Bodies sorted = next;
            next = now;
            now = sorted;
        }

        /** The speed of a body after this step. Positions stay: others look at them. */
        void kick(int i) {
            Bodies all = now;
            double x = all.x[i], y = all.y[i], z = all.z[i], fx = 0, fy = 0, fz = 0, potential = 0;
            int cx = along(x), cy = along(y), cz = along(z), left = Math.max(cx - 1, 0), right = Math.min(cx + 1, width - 1);
            long neighbours = 0;
            for (int pz = Math.max(cz - 1, 0); pz <= Math.min(cz + 1, width - 1); pz++)
                for (int py = Math.max(cy - 1, 0); py <= Math.min(cy + 1, width - 1); py++) {
                    int row = (pz * width + py) * width;
                    for (int k = first[row + left]; k < first[row + right + 1]; k++) {
                        double dx = x - all.x[k], dy = y - all.y[k], dz = z - all.z[k], squared = dx * dx + dy * dy + dz * dz;
                        if (squared >= radius * radius || squared == 0)
                            continue;
                        double distance = Math.sqrt(squared), depth = radius - distance, factor = depth / distance;
                        fx += factor * dx;
                        fy += factor * dy;
                        fz += factor * dz;
                        potential += depth * depth / 2;
                        neighbours++;
                    }
                }
            double mx = all.vx[i] + fx * dt / 2, my = all.vy[i] + fy * dt / 2, mz = all.vz[i] + fz * dt / 2;
            all.vx[i] += fx * dt;
            all.vy[i] += fy * dt;
            all.vz[i] += fz * dt;
            energy[i] = (mx * mx + my * my + mz * mz) / 2 + potential / 2;
            near[i] = neighbours;
        }

        void cluster(Run.Dice dice) {
            double mx = 0, my = 0, mz = 0;
            for (int i = 0; i < count; i++) {
                do {
                    double far = 1 / Math.sqrt(Math.pow(uniform(dice), -2.0 / 3) - 1), up = 2 * uniform(dice) - 1;
                    double round = 2 * Math.PI * uniform(dice), flat = far * Math.sqrt(1 - up * up);
                    now.x[i] = flat * Math.cos(round);
                    now.y[i] = flat * Math.sin(round);
                    now.z[i] = far * up;
                } while (!(now.x[i] * now.x[i] + now.y[i] * now.y[i] + now.z[i] * now.z[i] < REACH * REACH));
                mx += (now.vx[i] = uniform(dice)) / count;
                my += (now.vy[i] = uniform(dice)) / count;
                mz += (now.vz[i] = uniform(dice)) / count;
                now.id[i] = i;
            }
            for (int i = 0; i < count; i++) {
                now.vx[i] -= mx;
                now.vy[i] -= my;
                now.vz[i] -= mz;
            }
        }

        /** Neighbours of every stride-th body in the first step, found by comparing it with all others. */
        long countSample(int stride) {
            Bodies all = new Bodies(count);
            long pairs = 0;
            for (int i = 0; i < count; i++)
                all.take(i, now, i);
            all.drift(dt);
            for (int i = 0; i < count; i += stride)
                for (int k = 0; k < count; k++) {
                    double dx = all.x[i] - all.x[k], dy = all.y[i] - all.y[k], dz = all.z[i] - all.z[k];
                    double squared = dx * dx + dy * dy + dz * dz;
                    pairs += squared < radius * radius && squared != 0 ? 1 : 0;
                }
            return pairs;
        }

        private static double uniform(Run.Dice dice) {
            return (dice.next() >>> 11) / 9007199254740992.0;
        }
    }

    static void nbody() {
        int bodies = (int) Run.number("bodies", 20000), steps = (int) Run.number("steps", 20), stride = bodies / 500 + 1;
        World world = new World(bodies, Run.real("radius", 0.25), Run.real("dt", 0.01));
        world.cluster(new Run.Dice(Run.number("seed", 1)));
        long pairs = 0, sampled = 0, expected = world.countSample(stride);
        double firstEnergy = 0, energy = 0;
        Run.start();
        for (int step = 0; step < steps; step++) {
            world.now.drift(world.dt);
            world.sortIntoCells();
            Run.pool.submit(() -> IntStream.range(0, bodies).parallel().forEach(world::kick)).join();
            energy = 0;
            for (int i = 0; i < bodies; i++) {
                energy += world.energy[i];
                pairs += world.near[i];
                if (step == 0 && world.now.id[i] % stride == 0)
                    sampled += world.near[i];
            }
            firstEnergy = step == 0 ? energy : firstEnergy;
            world.now.drift(world.dt);
        }
        Run.stop(0);
        double vx = Arrays.stream(world.now.vx).sum(), vy = Arrays.stream(world.now.vy).sum(), vz = Arrays.stream(world.now.vz).sum();
        Run.prove("energy_kept", Math.abs(energy - firstEnergy) <= firstEnergy / 1000);
        Run.prove("stands_still", vx * vx + vy * vy + vz * vz < 1e-16 * bodies * bodies);
        Run.prove("pairs", pairs, pairs);
        Run.prove("sampled_pairs", sampled, expected);
    }

    // wavefront: bench/wavefront.c

    private static final class Table {
        private final int n, size;
        private final byte[] across, down;
        private final int[] left, corners;
        final int edge;
        final int[] above;

        Table(int n, int size, byte[] across, byte[] down) {
            this.n = n;
            this.size = size;
            this.across = across;
            this.down = down;
            edge = (n + size - 1) / size;
            above = IntStream.rangeClosed(1, n).toArray();
            left = above.clone();
            corners = new int[edge * edge];
            for (int i = 0; i < edge; i++)
                corners[i] = corners[i * edge] = i * size;
        }

        void compute(int i, int j) {
            int x0 = j * size, y0 = i * size, xEnd = Math.min(x0 + size, n), yEnd = Math.min(y0 + size, n);
            int corner = corners[i * edge + j];
            for (int y = y0; y < yEnd; y++) {
                int diagonal = corner, before = left[y];
                byte letter = down[y];
                corner = before;
                for (int x = x0; x < xEnd; x++) {
                    int up = above[x], substituted = diagonal + (across[x] != letter ? 1 : 0);
                    before = Math.min(substituted, Math.min(up, before) + 1);
                    diagonal = up;
                    above[x] = before;
                }
                left[y] = before;
            }
            if (i + 1 < edge && j + 1 < edge)
                corners[(i + 1) * edge + j + 1] = above[xEnd - 1];
        }
    }

    /** The lowest row of cells in another way: 64 cells of a column are bits that say where they grow and where they shrink. */
    private static int[] lowestRow(int n, byte[] across, byte[] down) {
        int count = (n + 63) / 64, found = n;
        long[][] equal = new long[count][4];
        long[] pluses = new long[count], minuses = new long[count];
        int[] row = new int[n];
        for (int y = 0; y < n; y++)
            equal[y / 64][down[y]] |= 1L << y % 64;
        Arrays.fill(pluses, -1);
        for (int x = 0; x < n; x++) {
            int difference = 1;
            for (int i = 0; i < count; i++) {
                long same = equal[i][across[x]], vertical = same | minuses[i];
                same |= difference < 0 ? 1 : 0;
                long horizontal = (((same & pluses[i]) + pluses[i]) ^ pluses[i]) | same;
                long plus = minuses[i] | ~(horizontal | pluses[i]), minus = pluses[i] & horizontal;
                int last = i + 1 < count ? 63 : (n - 1) % 64, out = (int) (plus >>> last & 1) - (int) (minus >>> last & 1);
                plus = plus << 1 | (difference > 0 ? 1 : 0);
                minus = minus << 1 | (difference < 0 ? 1 : 0);
                pluses[i] = minus | ~(vertical | plus);
                minuses[i] = plus & vertical;
                difference = out;
            }
            row[x] = found += difference;
        }
        return row;
    }

    static void wavefront() {
        int n = (int) Run.number("n", 16384);
        Run.Dice dice = new Run.Dice(Run.number("seed", 1));
        byte[] across = new byte[n], down = new byte[n];
        for (int i = 0; i < n; i++) {
            across[i] = (byte) (dice.next() & 3);
            down[i] = (byte) (dice.next() & 3);
        }
        int[] expected = lowestRow(n, across, down);
        Table table = new Table(n, (int) Run.number("tile", 256), across, down);
        int edge = table.edge;
        CompletableFuture<?>[][] tiles = new CompletableFuture<?>[edge][edge];
        CompletableFuture<?> nothing = CompletableFuture.completedFuture(null);
        Run.start();
        for (int row = 0; row < edge; row++)
            for (int column = 0; column < edge; column++) {
                int i = row, j = column;
                CompletableFuture<?> above = i > 0 ? tiles[i - 1][j] : nothing, left = j > 0 ? tiles[i][j - 1] : nothing;
                tiles[i][j] = above.runAfterBothAsync(left, () -> table.compute(i, j), Run.pool);
            }
        tiles[edge - 1][edge - 1].join();
        Run.stop(0);
        long right = IntStream.range(0, n).filter(x -> table.above[x] == expected[x]).count();
        Run.prove("distance", table.above[n - 1], expected[n - 1]);
        Run.prove("right", right, n);
    }

    // histogram: bench/histogram.c

    /** Counts into four sets of bins in turn: the same byte twice in a row would wait for its own counter. */
    private static void count(byte[] data, int from, int to, long[] bins) {
        int[] a = new int[256], b = new int[256], c = new int[256], d = new int[256];
        int i = from;
        for (; i + 4 <= to; i += 4) {
            a[data[i] & 255]++;
            b[data[i + 1] & 255]++;
            c[data[i + 2] & 255]++;
            d[data[i + 3] & 255]++;
        }
        for (; i < to; i++)
            a[data[i] & 255]++;
        for (int bin = 0; bin < 256; bin++)
            bins[bin] += a[bin] + b[bin] + c[bin] + d[bin];
    }

    private static void add(long[] sums, long[] others) {
        for (int bin = 0; bin < sums.length; bin++)
            sums[bin] += others[bin];
    }

    static void histogram() {
        int bytes = (int) Run.number("bytes", 100000000), grain = (int) Run.number("grain", 65536);
        String kind = Run.arguments.getOrDefault("data", "uniform");
        Run.Dice dice = new Run.Dice(Run.number("seed", 1));
        byte[] data = new byte[bytes];
        long sum = 0, squares = 0;
        for (int i = 0; i < bytes; i++) {
            long random = dice.next();
            data[i] = (byte) (kind.equals("same") ? 170 : kind.equals("skewed") ? random & random >>> 8 & random >>> 16 : random);
            sum += data[i] & 255;
            squares += (data[i] & 255) * (data[i] & 255);
        }
        int parts = (bytes + grain - 1) / grain;
        Run.start();
        long[] bins = Run.pool.submit(() -> IntStream.range(0, parts).parallel().collect(() -> new long[256],
                (mine, part) -> count(data, part * grain, (int) Math.min((part + 1L) * grain, bytes), mine), Data::add)).join();
        Run.stop(0);
        long got = 0, gotSum = 0, gotSquares = 0;
        for (int bin = 0; bin < 256; bin++) {
            got += bins[bin];
            gotSum += bin * bins[bin];
            gotSquares += bin * bin * bins[bin];
        }
        Run.prove("bytes", got, bytes);
        Run.prove("sum", gotSum, sum);
        Run.prove("squares", gotSquares, squares);
    }
}
