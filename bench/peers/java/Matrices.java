// SPDX-License-Identifier: MIT

import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.RecursiveAction;
import java.util.stream.IntStream;

/** Tasks over matrices. */
final class Matrices {
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

    static void matmul() {
        int n = (int) Run.number("n", 1024);
        stride = ((n + 7) & ~7) + 8;
        Run.Dice dice = new Run.Dice(1);
        a = new double[n * stride];
        b = new double[n * stride];
        c = new double[n * stride];
        for (int i = 0; i < a.length; i++) {
            a[i] = dice.next() & 7;
            b[i] = dice.next() & 7;
        }
        Run.start();
        Run.pool.invoke(new Multiply(0, 0, 0, n, n, n));
        Run.stop(0);
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
        Run.prove("sum", gotSum, sum);
        Run.prove("trace", gotTrace, trace);
    }

    // strassen: bench/strassen.c

    private static final int PAD = 8;
    private static int cutoff;

    private record Square(double[] at, int start, int size, int step) {
        static Square of(int size) {
            return new Square(new double[size * (size + PAD)], 0, size, size + PAD);
        }

        int row(int i) {
            return start + i * step;
        }

        Square quarter(int i, int j) {
            int half = size / 2;
            return new Square(at, start + i * half * step + j * half, half, step);
        }

        double get(int i, int j) {
            return at[row(i) + j];
        }
    }

    private static final class Strassen extends RecursiveAction {
        private final Square a, b, c;

        Strassen(Square a, Square b, Square c) {
            this.a = a;
            this.b = b;
            this.c = c;
        }

        private void leaf() {
            int size = c.size;
            for (int i = 0; i < size; i++) {
                int to = c.row(i), left = a.row(i);
                Arrays.fill(c.at, to, to + size, 0);
                for (int k = 0; k < size; k++) {
                    double x = a.at[left + k];
                    int from = b.row(k);
                    for (int j = 0; j < size; j++)
                        c.at[to + j] += x * b.at[from + j];
                }
            }
        }

        /** S1 to S4 and T1 to T4 of Winograd's form: sums of quarters of A, and of B. */
        private void before(Square[] s, Square[] t, int i) {
            int half = c.size / 2, upper = a.row(i), lower = a.row(half + i), to = s[0].row(i);
            for (int j = 0; j < half; j++) {
                double a11 = a.at[upper + j], a12 = a.at[upper + half + j], a21 = a.at[lower + j], a22 = a.at[lower + half + j];
                double sum = a21 + a22;
                s[0].at[to + j] = sum;
                s[1].at[to + j] = sum - a11;
                s[2].at[to + j] = a11 - a21;
                s[3].at[to + j] = a12 - (sum - a11);
            }
            upper = b.row(i);
            lower = b.row(half + i);
            for (int j = 0; j < half; j++) {
                double b11 = b.at[upper + j], b12 = b.at[upper + half + j], b21 = b.at[lower + j], b22 = b.at[lower + half + j];
                double difference = b12 - b11;
                t[0].at[to + j] = difference;
                t[1].at[to + j] = b22 - difference;
                t[2].at[to + j] = b22 - b12;
                t[3].at[to + j] = b22 - difference - b21;
            }
        }

        /** C of the seven products: it holds P2, P3, P4 and P7. */
        private void after(Square p1, Square p5, Square p6, int i) {
            int half = c.size / 2, upper = c.row(i), lower = c.row(half + i), from = p1.row(i);
            for (int j = 0; j < half; j++) {
                double u2 = p1.at[from + j] + p6.at[from + j], u3 = u2 + c.at[lower + half + j];
                c.at[upper + j] += p1.at[from + j];
                c.at[upper + half + j] += u2 + p5.at[from + j];
                c.at[lower + j] = u3 - c.at[lower + j];
                c.at[lower + half + j] = u3 + p5.at[from + j];
            }
        }

        @Override
        protected void compute() {
            if (c.size <= cutoff) {
                leaf();
                return;
            }
            int half = c.size / 2;
            Square[] s = new Square[4], t = new Square[4];
            Arrays.setAll(s, i -> Square.of(half));
            Arrays.setAll(t, i -> Square.of(half));
            Square p1 = Square.of(half), p5 = Square.of(half), p6 = Square.of(half);
            IntStream.range(0, half).parallel().forEach(i -> before(s, t, i));
            invokeAll(List.of(new Strassen(a.quarter(0, 0), b.quarter(0, 0), p1),
                    new Strassen(a.quarter(0, 1), b.quarter(1, 0), c.quarter(0, 0)),
                    new Strassen(s[3], b.quarter(1, 1), c.quarter(0, 1)),
                    new Strassen(a.quarter(1, 1), t[3], c.quarter(1, 0)),
                    new Strassen(s[0], t[0], p5),
                    new Strassen(s[1], t[1], p6),
                    new Strassen(s[2], t[2], c.quarter(1, 1))));
            IntStream.range(0, half).parallel().forEach(i -> after(p1, p5, p6, i));
        }
    }

    private static double[] apply(Square matrix, double[] vector) {
        double[] product = new double[matrix.size];
        for (int i = 0; i < product.length; i++)
            for (int j = 0; j < product.length; j++)
                product[i] += matrix.get(i, j) * vector[j];
        return product;
    }

    static void strassen() {
        int n = (int) Run.number("n", 1024);
        cutoff = (int) Run.number("cutoff", 64);
        for (int size = n; size > cutoff; size /= 2)
            if (size % 2 != 0)
                throw new Run.Cannot("n cannot be halved down to the cut-off");
        Run.Dice dice = new Run.Dice(1);
        Square a = Square.of(n), b = Square.of(n), c = Square.of(n);
        for (int i = 0; i < a.at.length; i++) {
            a.at[i] = dice.next() & 7;
            b.at[i] = dice.next() & 7;
            c.at[i] = -1;
        }
        double[] x = new double[n];
        Arrays.setAll(x, i -> dice.next() & 1023);
        Run.start();
        Run.pool.invoke(new Strassen(a, b, c));
        Run.stop(0);
        // Freivalds: C x is A (B x)
        double[] expected = apply(a, apply(b, x)), got = apply(c, x);
        long rows = 0, sum = 0, gotSum = 0;
        for (int k = 0; k < n; k++) {
            double down = 0, across = 0;
            for (int i = 0; i < n; i++) {
                down += a.get(i, k);
                across += b.get(k, i);
                gotSum += (long) c.get(k, i);
            }
            rows += got[k] == expected[k] ? 1 : 0;
            sum += (long) (down * across);
        }
        Run.prove("rows", rows, n);
        Run.prove("sum", gotSum, sum);
    }

    // cholesky: bench/cholesky.c

    private static int size; // of a tile

    /** What is computed, and, once it is final, transposed. */
    private static final class Tile {
        final double[] lower = new double[size * size], upper = new double[size * size];
        CompletableFuture<?> end;
    }

    private static void transpose(double[] from, double[] to) {
        for (int y = 0; y < size; y++)
            for (int x = 0; x < size; x++)
                to[x * size + y] = from[y * size + x];
    }

    private static void subtract(double[] a, double[] b, double[] c, boolean triangle) {
        for (int y = 0; y < size; y++) {
            int row = y * size, width = triangle ? y + 1 : size;
            for (int k = 0; k < size; k++) {
                double element = a[row + k];
                int other = k * size;
                for (int x = 0; x < width; x++)
                    c[row + x] -= element * b[other + x];
            }
        }
    }

    private static void potrf(Tile tile) {
        double[] c = tile.lower, l = tile.upper;
        for (int k = 0; k < size; k++) {
            double root = Math.sqrt(c[k * size + k]);
            for (int y = 0; y < size; y++)
                l[k * size + y] = y < k ? 0 : c[y * size + k] / root;
            for (int y = k + 1; y < size; y++)
                for (int x = k + 1; x <= y; x++)
                    c[y * size + x] -= l[k * size + y] * l[k * size + x];
        }
        transpose(l, c);
    }

    private static void trsm(Tile tile, double[] l) {
        double[] c = tile.lower;
        for (int row = 0; row < size * size; row += size)
            for (int k = 0; k < size; k++) {
                double element = c[row + k] /= l[k * size + k];
                for (int x = k + 1; x < size; x++)
                    c[row + x] -= element * l[k * size + x];
            }
        transpose(c, tile.upper);
    }

    /** A tile of L, of small whole numbers. */
    private static double[] known(Run.Dice dice, boolean diagonal) {
        double[] known = new double[size * size];
        for (int y = 0; y < size; y++)
            for (int x = 0; x < size; x++) {
                long random = dice.next();
                double element = diagonal && x == y ? 1 + (random & 3) : Long.remainderUnsigned(random, 7) - 3;
                known[y * size + x] = diagonal && x > y ? 0 : element;
            }
        return known;
    }

    /** Everything that is to be done, each step after what it needs; @return the end of all */
    private static CompletableFuture<?> factor(Tile[][] tiles) {
        CompletableFuture<?> nothing = CompletableFuture.completedFuture(null), last = nothing;
        for (Tile[] row : tiles)
            for (int j = 0; j < row.length; j++) {
                Tile[] column = tiles[j];
                Tile tile = row[j];
                boolean triangle = row == column;
                CompletableFuture<?> updated = nothing;
                for (int k = 0; k < j; k++) {
                    Tile left = row[k], other = column[k];
                    updated = CompletableFuture.allOf(updated, left.end, other.end)
                            .thenRunAsync(() -> subtract(left.lower, other.upper, tile.lower, triangle), Run.pool);
                }
                Tile diagonal = column[j];
                tile.end = last = triangle ? updated.thenRunAsync(() -> potrf(tile), Run.pool)
                        : updated.runAfterBothAsync(diagonal.end, () -> trsm(tile, diagonal.upper), Run.pool);
            }
        return last;
    }

    static void cholesky() {
        int n = (int) Run.number("n", 2048);
        size = (int) Run.number("tile", 64);
        if (n % size != 0)
            throw new Run.Cannot("n must be a multiple of tile");
        int edge = n / size;
        Run.Dice dice = new Run.Dice(1);
        double[][][] known = new double[edge][][], minus = new double[edge][][];
        Tile[][] tiles = new Tile[edge][];
        for (int i = 0; i < edge; i++) {
            known[i] = new double[i + 1][];
            minus[i] = new double[i + 1][size * size];
            tiles[i] = new Tile[i + 1];
            for (int j = 0; j <= i; j++) {
                known[i][j] = known(dice, i == j);
                transpose(known[i][j], minus[i][j]);
                for (int e = 0; e < size * size; e++)
                    minus[i][j][e] = -minus[i][j][e];
            }
        }
        for (int i = 0; i < edge; i++)
            for (int j = 0; j <= i; j++) {
                tiles[i][j] = new Tile();
                for (int k = 0; k <= j; k++)
                    subtract(known[i][k], minus[j][k], tiles[i][j].lower, false); // A = L L'
            }
        Run.start();
        factor(tiles).join();
        Run.stop(0);
        long right = 0, elements = 0;
        for (int i = 0; i < edge; i++)
            for (int j = 0; j <= i; j++)
                for (int e = 0; e < size * size; e++, elements++)
                    right += tiles[i][j].lower[e] == known[i][j][e] ? 1 : 0;
        Run.prove("right", right, elements);
    }
}
