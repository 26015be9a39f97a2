// SPDX-License-Identifier: MIT

import java.util.Arrays;
import java.util.List;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ForkJoinTask;
import java.util.concurrent.Semaphore;
import java.util.concurrent.SynchronousQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.Lock;
import java.util.concurrent.locks.ReentrantLock;
import java.util.concurrent.locks.ReentrantReadWriteLock;
import java.util.stream.DoubleStream;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/** Threads that wait. */
final class Waiting {
    private static Thread[] threads(int count, java.util.function.IntFunction<Run.Body> bodies) {
        Thread[] all = new Thread[count];
        for (int i = 0; i < count; i++) {
            Run.Body body = bodies.apply(i);
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

    private static BlockingQueue<Long> queue(int capacity) {
        return capacity > 0 ? new ArrayBlockingQueue<>(capacity) : new SynchronousQueue<>();
    }

    static void yield_() throws Exception {
        int tasks = (int) Run.number("tasks", 1000);
        long rounds = Math.max(Run.number("switches", 1000000) / tasks, 1);
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
        Run.start();
        go.countDown();
        join(all);
        Run.stop(rounds * tasks);
        Run.prove("yields", yields.get(), rounds * tasks);
    }

    static void pingpong() throws Exception {
        long rounds = Run.number("rounds", 2000000);
        SynchronousQueue<Long> there = new SynchronousQueue<>(), back = new SynchronousQueue<>();
        long[] pings = {0}, pongs = {0};
        Run.start();
        join(threads(2, i -> i == 0 ? () -> {
            for (; pongs[0] < rounds; pongs[0]++)
                back.put(there.take());
        } : () -> {
            for (long k = 0; k < rounds; k++) {
                there.put(k);
                pings[0] += back.take() == k ? 1 : 0;
            }
        }));
        Run.stop(rounds);
        Run.prove("pings", pings[0], rounds);
        Run.prove("pongs", pongs[0], rounds);
    }

    static void chan() throws Exception {
        int senders = (int) Run.number("senders", 1), receivers = (int) Run.number("receivers", 1), capacity = (int) Run.number("capacity", 256);
        long each = Math.max(Run.number("items", 4000000) / senders, 1), last = -1;
        BlockingQueue<Long> queue = queue(capacity);
        AtomicLong sum = new AtomicLong(), count = new AtomicLong();
        Run.start();
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
        Run.stop(each * senders);
        Run.prove("items", count.get(), each * senders);
        Run.prove("sum", sum.get(), senders * (each * (each + 1) / 2));
    }

    private static volatile boolean holding, over;

    static void stuck() throws Exception {
        int tasks = (int) Run.number("tasks", 20);
        long length = Run.number("length", 200);
        CountDownLatch underWay = new CountDownLatch(tasks);
        AtomicLong worst = new AtomicLong(), ended = new AtomicLong(), held = new AtomicLong();
        holding = over = false;
        Run.start();
        Thread[] all = threads(tasks, i -> () -> {
            underWay.countDown();
            while (!over) {
                long before = System.nanoTime();
                Thread.sleep(1);
                long late = System.nanoTime() - before - 1000000;
                if (holding)
                    worst.accumulateAndGet(late, Math::max);
            }
            ended.incrementAndGet();
        });
        Thread[] one = threads(1, i -> () -> {
            underWay.await();
            long before = System.nanoTime();
            holding = true;
            Thread.sleep(length);
            held.set(System.nanoTime() - before);
            Thread.sleep(2);
            over = true;
        });
        join(one);
        join(all);
        Run.stop(0);
        Run.value = worst.get() / 1e6;
        Run.prove("ended", ended.get(), tasks);
        Run.prove("blocked", held.get() >= length * 1000000 ? 1 : 0, 1);
    }

    static void park() throws Exception {
        int tasks = (int) Run.number("tasks", 10000);
        long before = Run.memory("VmRSS:");
        CountDownLatch arrived = new CountDownLatch(tasks), go = new CountDownLatch(1);
        AtomicLong woken = new AtomicLong();
        Run.start();
        Thread[] all = threads(tasks, i -> () -> {
            arrived.countDown();
            go.await();
            woken.incrementAndGet();
        });
        arrived.await();
        Run.stop(0);
        Run.also("memory", "bytes/task", (double) (Run.memory("VmRSS:") - before) / tasks);
        long wake = System.nanoTime();
        go.countDown();
        join(all);
        Run.also("wake", "ms", (System.nanoTime() - wake) / 1e6);
        Run.prove("woken", woken.get(), tasks);
    }

    static void timers() throws Exception {
        int tasks = (int) Run.number("tasks", 5000);
        long longest = Run.number("longest", 1000) * 1000000;
        Run.Dice dice = new Run.Dice(Run.number("seed", 1));
        long[] naps = new long[tasks];
        double[] late = new double[tasks];
        for (int i = 0; i < tasks; i++)
            naps[i] = Long.remainderUnsigned(dice.next(), longest);
        Run.start();
        join(threads(tasks, i -> () -> {
            long before = System.nanoTime();
            Thread.sleep(naps[i] / 1000000, (int) (naps[i] % 1000000));
            late[i] = (System.nanoTime() - before - naps[i]) / 1e3;
        }));
        Run.stop(0);
        Run.value = Run.cpuMs;
        Run.lateness(late);
        long early = Arrays.stream(late).filter(one -> one < 0).count();
        Run.prove("slept", tasks, tasks);
        Run.prove("early", early, 0);
    }

    private static long counter, longest;

    static void mutex() throws Exception {
        int tasks = (int) Run.number("tasks", 1);
        if (Run.number("inside", 0) != 0)
            throw new Run.Cannot("it has nothing to do inside the lock");
        long turns = Math.max(Run.number("pairs", 20000000) / tasks, 1), fewer = Math.max(turns / 10, 1);
        ReentrantLock lock = new ReentrantLock();
        counter = longest = 0;
        Run.start();
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
        Run.stop(turns * tasks);
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
        Run.also("longest wait", "us", longest / 1e3);
        Run.prove("counter", counter, (turns + fewer) * tasks);
    }

    // threadring: bench/threadring.c

    /** A token below 0 says that it is over, and who has said its name: that is where it ends. */
    static void threadring() throws Exception {
        int tasks = (int) Run.number("tasks", 503), capacity = (int) Run.number("capacity", 0);
        long passes = Run.number("passes", 100000);
        List<BlockingQueue<Long>> stations = Stream.generate(() -> queue(capacity)).limit(tasks).toList();
        long[] passed = new long[tasks], name = {0};
        AtomicLong ended = new AtomicLong();
        Run.start();
        Thread[] all = threads(tasks, i -> () -> {
            BlockingQueue<Long> in = stations.get(i), out = stations.get((i + 1) % tasks);
            long token;
            while ((token = in.take()) > 0) {
                passed[i]++;
                out.put(token - 1);
            }
            if (token == 0) {
                name[0] = i + 1;
                token = -name[0];
            }
            if ((i + 1) % tasks + 1 != -token)
                out.put(token);
            ended.incrementAndGet();
        });
        stations.get(0).put(passes);
        join(all);
        Run.stop(passes);
        Run.prove("name", name[0], passes % tasks + 1);
        Run.prove("passes", Arrays.stream(passed).sum(), passes);
        Run.prove("ended", ended.get(), tasks);
    }

    // chameneos: bench/chameneos.c

    private static final class Creature {
        private final Semaphore told = new Semaphore(0);
        int colour;
        long met, metItself;

        Creature(int colour) {
            this.colour = colour;
        }

        void meet(Creature other) {
            colour = other.colour = (6 - colour - other.colour) % 3;
            met++;
            other.met++;
            metItself += this == other ? 1 : 0;
        }
    }

    private static final class Place {
        private final ReentrantLock lock = new ReentrantLock();
        private long left;
        private Creature waiting;

        Place(long meetings) {
            left = meetings;
        }

        /** Meets whoever waits, or waits for the next. @return false when the place is closed */
        boolean visit(Creature self) throws InterruptedException {
            Creature other;
            lock.lock();
            try {
                if (left == 0)
                    return false;
                other = waiting;
                waiting = other == null ? self : null;
                if (other != null) {
                    left--;
                    self.meet(other);
                }
            } finally {
                lock.unlock();
            }
            if (other != null)
                other.told.release();
            else
                self.told.acquire();
            return true;
        }
    }

    static void chameneos() throws Exception {
        final int blue = 0, red = 1, yellow = 2;
        int[] row = {blue, red, yellow, red, yellow, blue, red, yellow, red, blue};
        int creatures = (int) Run.number("creatures", 10);
        long meetings = Run.number("meetings", 50000);
        Creature[] all = new Creature[creatures];
        Arrays.setAll(all, i -> new Creature(row[i % row.length]));
        long before = Arrays.stream(all).mapToLong(one -> one.colour).sum() % 3;
        Place place = new Place(meetings);
        Run.start();
        join(threads(creatures, i -> () -> {
            while (place.visit(all[i])) {
                // and again
            }
        }));
        Run.stop(meetings);
        Run.prove("met", Arrays.stream(all).mapToLong(one -> one.met).sum(), 2 * meetings);
        Run.prove("met_itself", Arrays.stream(all).mapToLong(one -> one.metItself).sum(), 0);
        Run.prove("colours", Arrays.stream(all).mapToLong(one -> one.colour).sum() % 3, before);
    }

    // prodcons: bench/prodcons.c

    private static final long LAST = -1;

    /** What has arrived at the leaves. */
    private static final class Arrived {
        private long count, sum, least = Long.MAX_VALUE, most;

        synchronized void add(long count, long sum) {
            this.count += count;
            this.sum += sum;
            least = Math.min(least, count);
            most = Math.max(most, count);
        }
    }

    private interface Source {
        long next() throws InterruptedException;
    }

    /** Deals out what comes to fan threads of its own, or, at the last level, adds it up. */
    private static void deal(Source source, long levels, int fan, int capacity, Arrived arrived) throws InterruptedException {
        if (levels == 0) {
            long count = 0, sum = 0;
            for (long item; (item = source.next()) != LAST; count++)
                sum += item;
            arrived.add(count, sum);
            return;
        }
        List<BlockingQueue<Long>> out = Stream.generate(() -> queue(capacity)).limit(fan).toList();
        Thread[] below = threads(fan, i -> () -> deal(out.get(i)::take, levels - 1, fan, capacity, arrived));
        int turn = 0;
        for (long item; (item = source.next()) != LAST; turn = (turn + 1) % fan)
            out.get(turn).put(item);
        for (BlockingQueue<Long> queue : out)
            queue.put(LAST);
        join(below);
    }

    static void prodcons() throws Exception {
        long items = Run.number("items", 20000), levels = Run.number("levels", 4);
        Arrived arrived = new Arrived();
        long[] made = {0};
        Run.start();
        deal(() -> made[0] < items ? ++made[0] : LAST, levels, (int) Run.number("fan", 4), (int) Run.number("capacity", 64), arrived);
        Run.stop(items * levels);
        Run.prove("items", arrived.count, items);
        Run.prove("sum", arrived.sum, items * (items + 1) / 2);
        Run.prove("dealt_fairly", arrived.most - arrived.least <= 1);
    }

    // cancel: bench/cancel.c

    static void cancel() throws Exception {
        int tasks = (int) Run.number("tasks", 5000);
        CountDownLatch arrived = new CountDownLatch(tasks), never = new CountDownLatch(1);
        AtomicLong cancelled = new AtomicLong();
        Thread[] all = threads(tasks, i -> () -> {
            arrived.countDown();
            try {
                never.await();
            } catch (InterruptedException e) {
                cancelled.incrementAndGet();
            }
        });
        arrived.await();
        Run.start();
        for (Thread one : all)
            one.interrupt();
        join(all);
        Run.stop(0);
        Run.prove("cancelled", cancelled.get(), tasks);
    }

    // mix: bench/mix.c

    private static final class Sleeper {
        private final Run.Dice dice;
        long slept, early;
        final DoubleStream.Builder late = DoubleStream.builder();

        Sleeper(long seed) {
            dice = new Run.Dice(seed);
        }

        /** Sleeps again and again until it is over. */
        void sleep(long longest, long room, CountDownLatch over) throws InterruptedException {
            for (;;) {
                long nap = Long.remainderUnsigned(dice.next(), longest), before = System.nanoTime();
                if (over.await(nap, TimeUnit.NANOSECONDS))
                    return;
                long ns = System.nanoTime() - before - nap;
                early += ns < 0 ? 1 : 0;
                if (slept++ < room)
                    late.add(ns / 1e3);
            }
        }
    }

    /** The units are tasks of the pool. @return their sum */
    private static long computeAll(int units, long rounds) {
        List<ForkJoinTask<Long>> all = IntStream.range(0, units).mapToObj(i -> Run.pool.submit(() -> {
            Run.Dice dice = new Run.Dice(i);
            long result = 0;
            for (long k = 0; k < rounds; k++)
                result += dice.next();
            return result;
        })).toList();
        return all.stream().mapToLong(ForkJoinTask::join).sum() & Long.MAX_VALUE;
    }

    static void mix() throws Exception {
        int units = (int) Run.number("units", 4000), sleepers = (int) Run.number("sleepers", 100);
        long rounds = Run.number("rounds", 50000), longest = Run.number("longest", 20) * 1000000, before = System.nanoTime();
        long expected = computeAll(units, rounds);
        double alone = System.nanoTime() - before;
        Sleeper[] all = new Sleeper[sleepers];
        Arrays.setAll(all, Sleeper::new);
        CountDownLatch begun = new CountDownLatch(sleepers), over = new CountDownLatch(1);
        Thread[] sleeping = threads(sleepers, i -> () -> {
            begun.countDown();
            all[i].sleep(longest, 100000 / sleepers + 1, over);
        });
        begun.await();
        Run.start();
        long sum = computeAll(units, rounds);
        Run.stop(units);
        over.countDown();
        join(sleeping);
        Run.value /= 1e3;
        Run.also("alone", "us/unit", alone / units / 1e3);
        Run.also("throughput", "of alone", alone / 1e6 / Run.wallMs);
        Run.also("sleeps", "", Arrays.stream(all).mapToLong(one -> one.slept).sum());
        double[] late = Arrays.stream(all).flatMapToDouble(one -> one.late.build()).toArray();
        if (late.length > 0)
            Run.lateness(late);
        Run.prove("sum", sum, expected);
        Run.prove("early", Arrays.stream(all).mapToLong(one -> one.early).sum(), 0);
    }

    // rwlock, sem, cond: bench/rwlock.c, sem.c, cond.c

    private static long first, second;

    static void rwlock() throws Exception {
        int tasks = (int) Run.number("tasks", 8);
        long rounds = Run.number("rounds", 250000), readers = Run.number("readers", 95);
        ReentrantReadWriteLock lock = new ReentrantReadWriteLock();
        AtomicLong written = new AtomicLong(), torn = new AtomicLong();
        first = second = 0;
        Run.start();
        join(threads(tasks, i -> () -> {
            Run.Dice dice = new Run.Dice(i);
            long myWritten = 0, myTorn = 0;
            for (long k = 0; k < rounds; k++) {
                boolean reads = Long.remainderUnsigned(dice.next(), 100) < readers;
                Lock mine = reads ? lock.readLock() : lock.writeLock();
                mine.lock();
                try {
                    if (reads) {
                        myTorn += first != second ? 1 : 0;
                    } else {
                        first++;
                        second++;
                        myWritten++;
                    }
                } finally {
                    mine.unlock();
                }
            }
            written.addAndGet(myWritten);
            torn.addAndGet(myTorn);
        }));
        Run.stop(rounds * tasks);
        Run.prove("written", first, written.get());
        Run.prove("torn", torn.get(), 0);
    }

    private static void visit(Semaphore semaphore, int tasks, long turns, Run.Body inside) throws Exception {
        join(threads(tasks, i -> () -> {
            for (long k = 0; k < turns; k++) {
                semaphore.acquire();
                try {
                    inside.run();
                } finally {
                    semaphore.release();
                }
            }
        }));
    }

    static void sem() throws Exception {
        int tasks = (int) Run.number("tasks", 1), units = (int) Run.number("units", 1);
        long turns = Math.max(Run.number("pairs", 2000000) / tasks, 1), fewer = Math.max(turns / 10, 1);
        Semaphore semaphore = new Semaphore(units);
        AtomicLong inside = new AtomicLong(), beyond = new AtomicLong(), done = new AtomicLong();
        Run.start();
        visit(semaphore, tasks, turns, () -> {});
        Run.stop(turns * tasks);
        visit(semaphore, tasks, fewer, () -> {
            if (inside.incrementAndGet() > units)
                beyond.incrementAndGet();
            inside.decrementAndGet();
            done.incrementAndGet();
        });
        Run.prove("turns", turns * tasks + done.get(), (turns + fewer) * tasks);
        Run.prove("beyond", beyond.get(), 0);
        Run.prove("left", semaphore.drainPermits(), units);
    }

    private static final class Hall {
        final ReentrantLock lock = new ReentrantLock();
        final Condition condition = lock.newCondition();
        boolean open;
        long through, last;

        void pass(CountDownLatch arrived) throws InterruptedException {
            lock.lock();
            try {
                arrived.countDown(); // whoever has the lock after all were counted finds them waiting
                while (!open)
                    condition.await();
                through++;
                last = System.nanoTime();
            } finally {
                lock.unlock();
            }
        }

        /** @return when */
        long open() {
            lock.lock();
            try {
                open = true;
                long now = System.nanoTime();
                condition.signalAll();
                return now;
            } finally {
                lock.unlock();
            }
        }
    }

    static void cond() throws Exception {
        int waiters = (int) Run.number("waiters", 5000);
        long rounds = Run.number("rounds", 5), sum = 0, through = 0;
        Run.start();
        for (long round = 0; round < rounds; round++) {
            Hall hall = new Hall();
            CountDownLatch arrived = new CountDownLatch(waiters);
            Thread[] all = threads(waiters, i -> () -> hall.pass(arrived));
            arrived.await();
            long opened = hall.open();
            join(all);
            sum += hall.last - opened;
            through += hall.through;
        }
        Run.stop(0);
        Run.value = sum / 1e6 / rounds;
        Run.prove("through", through, waiters * rounds);
    }
}
