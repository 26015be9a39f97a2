#!/usr/bin/env escript
%%! +P 4000000
%% SPDX-License-Identifier: MIT
%%
%% Erlang: a task is a process, spawned with a link, and what it came to is a message to its parent. Nothing is shared; so there is no mutex,
%% and a channel is a mailbox with credit: a sender may be --capacity items ahead. A meeting place is a process, and a process is called off
%% by an exit. A receive waits in milliseconds, rounded up, which is part of the lateness.
%%
%% Numbers to sort, matrices, bodies and tiles are arrays that tasks write into, at places of their own; here they would be lists and terms
%% that are built anew, which would be another workload: sort, matmul, strassen, cholesky, nbody and wavefront are left out, and rwlock, sem
%% and cond, since nobody shares what they guard. Bytes to count are read only: a part of a binary is no copy. Integers of 64 bits do not fit
%% into a word: so histogram and mix are small.
%%
%% --workers is the number of schedulers online. Compiled at start, before anything is measured; uts takes the library crypto.
-mode(compile).

main(["--list"]) ->
    Uts = case crypto_there() of true -> ", \"uts\": {\"tree\": \"default\"}"; false -> "" end,
    io:format("{\"peer\": \"erlang\", \"version\": \"~s\", \"workloads\": {\"fork\": {\"n\": 25}, \"integrate\": {\"n\": 50}, "
              "\"flat\": {\"tasks\": 300000}, \"stuck\": {}, \"batch\": {}, \"skynet\": {}, \"queens\": {\"n\": 10}, "
              "\"histogram\": {\"bytes\": 1000000}, \"yield\": {}, \"pingpong\": {}, \"threadring\": {}, \"chameneos\": {}, "
              "\"chan\": {}, \"prodcons\": {}, \"select\": {}, \"park\": {}, \"cancel\": {}, \"timers\": {}, "
              "\"mix\": {\"units\": 1000, \"rounds\": 1000}~s}}~n", [version(), Uts]);
main([Name | Words]) ->
    put(arguments, arguments(Words)),
    Workers = number("workers", 1),
    erlang:system_flag(schedulers_online, min(Workers, erlang:system_info(schedulers))),
    {Unit, Work} = workload(Name),
    once(Work),
    erlang:garbage_collect(),
    _ = file:write_file("/proc/self/clear_refs", "5"),
    {Value, Wall, Cpu, Check, More} = once(Work),
    Figure = case Value of
        {per, Count} -> Wall / Count;
        {us_per, Count} -> Wall / Count / 1.0e3;
        wall -> Wall / 1.0e6;
        cpu -> Cpu / 1.0;
        {is, Itself} -> Itself
    end,
    Got = [{Key, Number} || {Key, Number, _} <- Check],
    Wrong = [{Key, Number, Expected} || {Key, Number, Expected} <- Check, Number =/= Expected],
    [io:format(standard_error, "wrong: ~s is ~p, not ~p~n", [Key, Number, Expected]) || {Key, Number, Expected} <- Wrong],
    io:format("{\"peer\": \"erlang\", \"version\": \"~s\", \"workload\": \"~s\", \"unit\": \"~s\", \"value\": ~p, \"workers\": ~p, "
              "\"check\": {~s}, \"wall_ms\": ~p, \"cpu_ms\": ~p, \"peak_rss\": ~p, \"more\": {~s}}~n",
              [version(), Name, Unit, Figure, Workers, join([io_lib:format("\"~s\": ~p", [K, N]) || {K, N} <- Got]), Wall / 1.0e6, Cpu,
               memory("VmHWM:"), join([io_lib:format("\"~s\": {\"unit\": \"~s\", \"value\": ~p}", [K, U, V]) || {K, U, V} <- More])]),
    halt(case Wrong of [] -> 0; _ -> 1 end);
main([]) ->
    io:format(standard_error, "usage: peer-erlang --list~n       peer-erlang WORKLOAD --workers N [--KEY VALUE]...~n", []),
    halt(2).

workload("fork") -> {"ns/task", fun fork/0};
workload("integrate") -> {"ms", fun integrate/0};
workload("flat") -> {"ns/task", fun() -> batches(1, number("tasks", 1000000)) end};
workload("batch") -> {"ns/task", fun() -> batches(number("batches", 1000), number("tasks", 1000)) end};
workload("skynet") -> {"ms", fun skynet/0};
workload("queens") -> {"ms", fun queens/0};
workload("uts") -> {"ms", fun uts/0};
workload("histogram") -> {"ms", fun histogram/0};
workload("yield") -> {"ns/switch", fun yield/0};
workload("pingpong") -> {"ns/round", fun pingpong/0};
workload("threadring") -> {"ns/pass", fun threadring/0};
workload("chameneos") -> {"ns/meeting", fun chameneos/0};
workload("chan") -> {"ns/item", fun chan/0};
workload("prodcons") -> {"ns/hop", fun prodcons/0};
workload("select") -> {"ns/item", fun select/0};
workload("stuck") -> {"ms", fun stuck/0};
workload("park") -> {"ms", fun park/0};
workload("cancel") -> {"ms", fun cancel/0};
workload("timers") -> {"ms CPU", fun timers/0};
workload("mix") -> {"us/unit", fun mix/0};
workload(_) -> cannot("it has no means for that workload").

%% A workload makes ready and returns what is timed, which returns {Figure, Check, More}. In a process of its own, so that nothing is left.
once(Work) ->
    Parent = self(),
    Arguments = get(arguments),
    spawn_link(fun() ->
        process_flag(message_queue_data, off_heap), % as for every process that may have many messages waiting
        put(arguments, Arguments),
        Timed = Work(),
        {Cpu, _} = statistics(runtime),
        Begin = erlang:monotonic_time(nanosecond),
        {Figure, Prove} = Timed(),
        Wall = erlang:monotonic_time(nanosecond) - Begin,
        {CpuAfter, _} = statistics(runtime),
        {Check, More} = Prove(),
        Parent ! {once, {Figure, Wall, CpuAfter - Cpu, Check, More}}
    end),
    receive {once, Result} -> Result end.

%% ---- tasks that are joined ----

%% A process that works something out, and what it came to.
async(Work) ->
    Parent = self(),
    spawn_link(fun() -> Parent ! {self(), Work()} end).

await(Pid) ->
    receive {Pid, Result} -> Result end.

fib(N) when N < 2 -> N;
fib(N) ->
    Left = async(fun() -> fib(N - 1) end),
    Right = fib(N - 2),
    await(Left) + Right.

fibonacci(0, A, _) -> A;
fibonacci(N, A, B) -> fibonacci(N - 1, B, A + B).

fork() ->
    N = number("n", 25),
    Tasks = fibonacci(N + 1, 0, 1) - 1,
    fun() ->
        Got = fib(N),
        {{per, Tasks}, fun() -> {[{"fib", Got, fibonacci(N, 0, 1)}, {"tasks", Tasks, Tasks}], []} end}
    end.

%% bench/integrate.c
f(X) -> X * (X * X + 1).

integrate(X1, Y1, X2, Y2, Area, Epsilon) ->
    Width = (X2 - X1) / 2,
    X = X1 + Width,
    Y = f(X),
    Left = (Y1 + Y) / 2 * Width,
    Right = (Y + Y2) / 2 * Width,
    case abs(Left + Right - Area) < Epsilon of
        true -> {Left + Right, 1};
        false ->
            Other = async(fun() -> integrate(X, Y, X2, Y2, Right, Epsilon) end),
            {LeftArea, LeftAreas} = integrate(X1, Y1, X, Y, Left, Epsilon),
            {RightArea, RightAreas} = await(Other),
            {LeftArea + RightArea, LeftAreas + RightAreas}
    end.

integrate() ->
    N = real("n", 100),
    Epsilon = real("epsilon", 1.0e-9),
    Exact = N * N * (N * N + 2) / 4,
    fun() ->
        {Area, Areas} = integrate(0.0, 0.0, N, f(N), 0.0, Epsilon),
        {wall, fun() ->
            {[{"areas", Areas, Areas}, {"right", yes(abs(Area - Exact) =< Epsilon * Areas + Exact * 1.0e-13), 1}], []}
        end}
    end.

batches(Batches, Tasks) ->
    Counts = counters:new(Tasks, []),
    fun() ->
        [batch(Counts, Tasks) || _ <- lists:seq(1, Batches)],
        {{per, Batches * Tasks}, fun() ->
            Ran = lists:sum([Batches || I <- lists:seq(1, Tasks), counters:get(Counts, I) =:= Batches]),
            {[{"ran", Ran, Batches * Tasks}], []}
        end}
    end.

batch(Counts, Tasks) ->
    Parent = self(),
    spawn_each(Tasks, fun(I) ->
        counters:add(Counts, I, 1),
        Parent ! done
    end),
    collect(Tasks, done).

spawn_each(0, _) -> ok;
spawn_each(I, Work) ->
    spawn_link(fun() -> Work(I) end),
    spawn_each(I - 1, Work).

collect(0, _) -> ok;
collect(Count, Message) ->
    receive Message -> collect(Count - 1, Message) end.

skynet(Up, First, 1) -> Up ! {sum, First};
skynet(Up, First, Length) ->
    Self = self(),
    [spawn_link(fun() -> skynet(Self, First + I * (Length div 10), Length div 10) end) || I <- lists:seq(0, 9)],
    Up ! {sum, receive_sums(10, 0)}.

receive_sums(0, Sum) -> Sum;
receive_sums(Count, Sum) ->
    receive {sum, One} -> receive_sums(Count - 1, Sum + One) end.

skynet() ->
    Leaves = round(math:pow(10, number("levels", 6))),
    fun() ->
        Self = self(),
        spawn_link(fun() -> skynet(Self, 0, Leaves) end),
        Sum = receive_sums(1, 0),
        {wall, fun() -> {[{"sum", Sum, Leaves * (Leaves - 1) div 2}], []} end}
    end.

%% A board is the columns of the queens, the latest first.
place(Board, N, _) when length(Board) =:= N -> 1;
place(Board, N, Pairs) ->
    Below = [async(fun() -> place([Column | Board], N, Pairs) end) || Column <- lists:seq(1, N), safe([Column | Board], Pairs)],
    lists:sum([await(Pid) || Pid <- Below]).

safe([Column | Above], false) -> free(Column, Above, 1);
safe([Column | Above], true) -> free(Column, Above, 1) andalso safe(Above, true);
safe([], true) -> true.

free(_, [], _) -> true;
free(Column, [Other | Above], Distance) ->
    Column =/= Other andalso abs(Column - Other) =/= Distance andalso free(Column, Above, Distance + 1).

queens() ->
    N = number("n", 10),
    Known = {1, 1, 0, 0, 2, 10, 4, 40, 92, 352, 724, 2680, 14200, 73712, 365596, 2279184, 14772512},
    Pairs = text("test", "pairs") =:= "pairs",
    fun() ->
        Solutions = place([], N, Pairs),
        {wall, fun() -> {[{"solutions", Solutions, element(N + 1, Known)}], []} end}
    end.

%% bench/uts_tree.h: {Type, B0, Q, Depth, M, Seed}
tree("T1") -> {{fixed, 4, 0, 10, 0, 19}, {4130071, 3305118, 10}};
tree("T3") -> {{binomial, 2000, 0.124875, 0, 8, 42}, {4112897, 3599034, 1572}};
tree("T5") -> {{linear, 4, 0, 20, 0, 34}, {4147582, 2181318, 20}};
tree("default") -> {{linear, 4, 0, 6, 0, 0}, {1732, 1050, 6}};
tree(_) -> cannot("of the UTS trees it knows T1, T3, T5 and default").

children({binomial, B0, _, _, _, _}, _, 0) -> B0;
children({binomial, _, Q, _, M, _}, State, _) ->
    case uniform(State) < Q of true -> M; false -> 0 end;
children({Shape, B0, _, Deepest, _, _}, State, Depth) ->
    B = case Shape of
        linear -> B0 * (1 - Depth / Deepest);
        fixed when Depth < Deepest -> B0;
        fixed -> 0
    end,
    case B > 0 of
        true -> min(100, max(0, floor(math:log(1 - uniform(State)) / math:log(1 - 1 / (1 + B)))));
        false -> 0
    end.

uniform(<<_:128, _:1, Random:31>>) -> Random / 2147483648.0.

visit(Tree, State, Depth) ->
    Count = children(Tree, State, Depth),
    Below = [async(fun() -> visit(Tree, crypto:hash(sha, <<State/binary, I:32>>), Depth + 1) end) || I <- lists:seq(0, Count - 1)],
    Add = fun(Pid, {Nodes, Leaves, Deepest}) ->
        {N, L, D} = await(Pid),
        {Nodes + N, Leaves + L, max(Deepest, D)}
    end,
    lists:foldl(Add, {1, case Count of 0 -> 1; _ -> 0 end, Depth}, Below).

uts() ->
    crypto_there() orelse cannot("the library crypto is not installed"),
    {Tree, {Nodes, Leaves, Deepest}} = tree(text("tree", "T1")),
    Seed = element(6, Tree),
    fun() ->
        {N, L, D} = visit(Tree, crypto:hash(sha, <<0:128, Seed:32>>), 0),
        {wall, fun() -> {[{"nodes", N, Nodes}, {"depth", D, Deepest}, {"leaves", L, Leaves}], []} end}
    end.

%% bench/histogram.c: a process a part, which counts into bins of its own and sends them.
count(<<>>, _) -> ok;
count(<<Byte, Rest/binary>>, Bins) ->
    counters:add(Bins, Byte + 1, 1),
    count(Rest, Bins).

bins(Part) ->
    Bins = counters:new(256, []),
    count(Part, Bins),
    [counters:get(Bins, I) || I <- lists:seq(1, 256)].

parts(Data, Grain) when byte_size(Data) =< Grain -> [Data];
parts(Data, Grain) ->
    <<Part:Grain/binary, Rest/binary>> = Data,
    [Part | parts(Rest, Grain)].

byte_of("same", _) -> 170;
byte_of("skewed", Random) -> Random band (Random bsr 8) band (Random bsr 16) band 255;
byte_of(_, Random) -> Random band 255.

bytes(0, _, _, Bytes) -> Bytes;
bytes(Count, Kind, State, Bytes) ->
    {Random, Next} = random(State),
    bytes(Count - 1, Kind, Next, <<Bytes/binary, (byte_of(Kind, Random))>>).

histogram() ->
    Bytes = number("bytes", 1000000),
    Grain = number("grain", 65536),
    Data = bytes(Bytes, text("data", "uniform"), number("seed", 1), <<>>),
    fun() ->
        Counting = [async(fun() -> bins(Part) end) || Part <- parts(Data, Grain)],
        Add = fun(Pid, Sums) -> lists:zipwith(fun erlang:'+'/2, await(Pid), Sums) end,
        Sums = lists:foldl(Add, lists:duplicate(256, 0), Counting),
        {wall, fun() ->
            Known = binary_to_list(Data),
            Binned = lists:zip(lists:seq(0, 255), Sums),
            {[{"bytes", lists:sum(Sums), Bytes}, {"sum", lists:sum([Bin * Times || {Bin, Times} <- Binned]), lists:sum(Known)},
              {"squares", lists:sum([Bin * Bin * Times || {Bin, Times} <- Binned]), lists:sum([Byte * Byte || Byte <- Known])}], []}
        end}
    end.

crypto_there() ->
    code:ensure_loaded(crypto) =:= {module, crypto}.

%% ---- processes that wait ----

turns(0) -> ok;
turns(N) ->
    erlang:yield(),
    turns(N - 1).

yield() ->
    Tasks = number("tasks", 1000),
    Rounds = max(1, number("switches", 20000000) div Tasks),
    Parent = self(),
    All = [spawn_link(fun() ->
        Parent ! ready,
        receive go -> turns(Rounds) end,
        Parent ! {yields, Rounds}
    end) || _ <- lists:seq(1, Tasks)],
    collect(Tasks, ready),
    fun() ->
        [Pid ! go || Pid <- All],
        Yields = lists:sum([receive {yields, Mine} -> Mine end || _ <- All]),
        {{per, Rounds * Tasks}, fun() -> {[{"yields", Yields, Rounds * Tasks}], []} end}
    end.

serve(_, Rounds, Rounds, Hits) -> Hits;
serve(Other, I, Rounds, Hits) ->
    Other ! {ball, self(), I},
    receive {ball, I} -> serve(Other, I + 1, Rounds, Hits + 1) end.

give_back(0, Hits) -> Hits;
give_back(Rounds, Hits) ->
    receive {ball, From, I} -> From ! {ball, I} end,
    give_back(Rounds - 1, Hits + 1).

pingpong() ->
    Rounds = number("rounds", 2000000),
    fun() ->
        Second = async(fun() -> give_back(Rounds, 0) end),
        First = async(fun() -> serve(Second, 0, Rounds, 0) end),
        Pings = await(First),
        Pongs = await(Second),
        {{per, Rounds}, fun() -> {[{"pings", Pings, Rounds}, {"pongs", Pongs, Rounds}], []} end}
    end.

send(_, Item, Items, _) when Item > Items -> ok;
send(To, Item, Items, 0) ->
    receive {credit, More} -> send(To, Item, Items, More) end;
send(To, Item, Items, Credit) ->
    To ! {item, self(), Item},
    send(To, Item + 1, Items, Credit - 1).

take(0, _, _, Sum) -> Sum;
take(Left, Batch, Batch, Sum) ->
    receive {item, From, Item} ->
        From ! {credit, Batch},
        take(Left - 1, 1, Batch, Sum + Item)
    end;
take(Left, Taken, Batch, Sum) ->
    receive {item, _, Item} -> take(Left - 1, Taken + 1, Batch, Sum + Item) end.

chan() ->
    Items = number("items", 4000000),
    Capacity = number("capacity", 256),
    Capacity > 0 andalso number("senders", 1) =:= 1 andalso number("receivers", 1) =:= 1
        orelse cannot("a mailbox has one receiver, here with one sender and some credit"),
    fun() ->
        Receiver = async(fun() -> take(Items, 1, max(1, Capacity div 2), 0) end),
        spawn_link(fun() -> send(Receiver, 1, Items, Capacity) end),
        Sum = await(Receiver),
        {{per, Items}, fun() -> {[{"items", Items, Items}, {"sum", Sum, Items * (Items + 1) div 2}], []} end}
    end.

%% What blocks is a read of a FIFO, which the system has threads for that run no processes: Erlang has no call that would block a scheduler.
stuck() ->
    Tasks = number("tasks", 20),
    Length = number("length", 200),
    Flags = atomics:new(3, []), % under way, holding, over
    Fifo = os:cmd("d=$(mktemp -d) && mkfifo $d/fifo && printf %s $d/fifo"),
    fun() ->
        Sleepers = [async(fun() -> atomics:add(Flags, 1, 1), doze(Flags, 0) end) || _ <- lists:seq(1, Tasks)],
        Held = await(async(fun() -> block(Flags, Tasks, Length, Fifo) end)),
        Worst = [await(One) || One <- Sleepers],
        os:cmd("rm -r " ++ filename:dirname(Fifo)),
        {{is, lists:max(Worst) / 1.0e6}, fun() ->
            Blocked = case Held >= Length * 1000000 of true -> 1; false -> 0 end,
            {[{"ended", length(Worst), Tasks}, {"blocked", Blocked, 1}], []}
        end}
    end.

doze(Flags, Worst) ->
    case atomics:get(Flags, 3) of
        1 -> Worst;
        0 ->
            Begin = erlang:monotonic_time(nanosecond),
            receive after 1 -> ok end,
            Late = erlang:monotonic_time(nanosecond) - Begin - 1000000,
            doze(Flags, case atomics:get(Flags, 2) of 1 -> max(Late, Worst); 0 -> Worst end)
    end.

block(Flags, Tasks, Length, Fifo) ->
    case atomics:get(Flags, 1) of
        Tasks ->
            spawn_link(fun() -> os:cmd(io_lib:format("sleep ~f; echo >~s", [Length / 1000, Fifo])) end),
            Begin = erlang:monotonic_time(nanosecond),
            atomics:put(Flags, 2, 1),
            {ok, File} = file:open(Fifo, [read, raw, binary, skip_type_check]),
            {ok, _} = file:read(File, 1),
            Held = erlang:monotonic_time(nanosecond) - Begin,
            receive after 2 -> ok end,
            atomics:put(Flags, 3, 1),
            Held;
        _ -> receive after 1 -> ok end, block(Flags, Tasks, Length, Fifo)
    end.

park() ->
    Tasks = number("tasks", 1000000),
    Before = memory("VmRSS:"),
    Parent = self(),
    fun() ->
        All = [spawn_link(fun() ->
            Parent ! arrived,
            receive go -> Parent ! woken end
        end) || _ <- lists:seq(1, Tasks)],
        collect(Tasks, arrived),
        {wall, fun() ->
            Memory = (memory("VmRSS:") - Before) / Tasks,
            Begin = erlang:monotonic_time(nanosecond),
            [Pid ! go || Pid <- All],
            collect(Tasks, woken),
            Wake = (erlang:monotonic_time(nanosecond) - Begin) / 1.0e6,
            {[{"woken", Tasks, Tasks}], [{"memory", "bytes/task", Memory}, {"wake", "ms", Wake}]}
        end}
    end.

%% bench/threadring.c: who gets 0 says its name, and `over` goes round until it comes to who has said it.
pass(Name, Next, Parent, Passed) ->
    receive
        {token, 0} ->
            Parent ! {name, Name},
            Next ! over,
            receive over -> Parent ! {passed, Passed} end;
        {token, Token} ->
            Next ! {token, Token - 1},
            pass(Name, Next, Parent, Passed + 1);
        over ->
            Next ! over,
            Parent ! {passed, Passed}
    end.

threadring() ->
    Passes = number("passes", 5000000),
    Tasks = number("tasks", 503),
    fun() ->
        Parent = self(),
        %% The last one is made first; the first learns of it when all are there.
        First = spawn_link(fun() -> receive {next, Next} -> pass(1, Next, Parent, 0) end end),
        Second = lists:foldl(fun(Name, Next) -> spawn_link(fun() -> pass(Name, Next, Parent, 0) end) end, First, lists:seq(Tasks, 2, -1)),
        First ! {next, Second},
        First ! {token, Passes},
        Name = receive {name, Who} -> Who end,
        Passed = [receive {passed, Mine} -> Mine end || _ <- lists:seq(1, Tasks)],
        {{per, Passes}, fun() ->
            {[{"name", Name, Passes rem Tasks + 1}, {"passes", lists:sum(Passed), Passes}, {"ended", length(Passed), Tasks}], []}
        end}
    end.

%% bench/chameneos.c: the place is a process that pairs those that come, and then sends all away.
place(0, 0) -> ok;
place(0, Creatures) ->
    receive {come, One, _} -> One ! closed end,
    place(0, Creatures - 1);
place(Meetings, Creatures) ->
    receive {come, One, Colour} ->
        receive {come, Other, Colour2} ->
            Other ! {met, One, Colour},
            One ! {met, Other, Colour2}
        end
    end,
    place(Meetings - 1, Creatures).

creature(Place, Parent, Colour, Met, MetItself) ->
    Place ! {come, self(), Colour},
    receive
        {met, Other, Colour2} ->
            creature(Place, Parent, (6 - Colour - Colour2) rem 3, Met + 1, MetItself + yes(Other =:= self()));
        closed ->
            Parent ! {creature, Colour, Met, MetItself}
    end.

chameneos() ->
    Meetings = number("meetings", 2000000),
    Creatures = number("creatures", 10),
    {Blue, Red, Yellow} = {0, 1, 2},
    Row = {Blue, Red, Yellow, Red, Yellow, Blue, Red, Yellow, Red, Blue},
    Colours = [element(I rem 10 + 1, Row) || I <- lists:seq(0, Creatures - 1)],
    fun() ->
        Parent = self(),
        Place = spawn_link(fun() -> place(Meetings, Creatures) end),
        [spawn_link(fun() -> creature(Place, Parent, Colour, 0, 0) end) || Colour <- Colours],
        All = [receive {creature, Colour, Met, MetItself} -> {Colour, Met, MetItself} end || _ <- Colours],
        {{per, Meetings}, fun() ->
            Sum = fun(Place_) -> lists:sum([element(Place_, One) || One <- All]) end,
            {[{"met", Sum(2), 2 * Meetings}, {"met_itself", Sum(3), 0}, {"colours", Sum(1) rem 3, lists:sum(Colours) rem 3}], []}
        end}
    end.

%% bench/prodcons.c: who deals out has credit of every child's, and who consumes gives it back by half a mailbox at a time.
deal(Source, Levels, Fan, Capacity) ->
    Batch = max(1, Capacity div 2),
    Below = [async(fun() -> node_(Levels - 1, Fan, Capacity) end) || _ <- lists:seq(1, Fan)],
    deal_out(Source, [{Pid, Capacity} || Pid <- Below], [], Batch),
    [Pid ! over || Pid <- Below],
    Add = fun(Pid, {Count, Sum, Least, Most}) ->
        {C, S, L, M} = await(Pid),
        {Count + C, Sum + S, min(Least, L), max(Most, M)}
    end,
    [First | Others] = Below,
    lists:foldl(Add, await(First), Others).

deal_out(Source, [], Dealt, Batch) -> deal_out(Source, lists:reverse(Dealt), [], Batch);
deal_out(Source, [{Pid, Credit} | Turn], Dealt, Batch) ->
    case next(Source) of
        over -> ok;
        {Item, Rest} ->
            Left = with_credit(Pid, Credit),
            Pid ! {item, self(), Item},
            deal_out(Rest, Turn, [{Pid, Left - 1} | Dealt], Batch)
    end.

with_credit(Pid, 0) ->
    receive {credit, Pid, More} -> More end;
with_credit(_, Credit) -> Credit.

%% {range, Next, Last}, or the mailbox: {mailbox, how many were taken, credit that is given at a time}
next({range, Item, Last}) when Item > Last -> over;
next({range, Item, Last}) -> {Item, {range, Item + 1, Last}};
next({mailbox, Taken, Batch}) ->
    receive
        {item, From, Item} when Taken + 1 =:= Batch ->
            From ! {credit, self(), Batch},
            {Item, {mailbox, 0, Batch}};
        {item, _, Item} -> {Item, {mailbox, Taken + 1, Batch}};
        over -> over
    end.

node_(0, _, Capacity) -> consume({mailbox, 0, max(1, Capacity div 2)}, 0, 0);
node_(Levels, Fan, Capacity) -> deal({mailbox, 0, max(1, Capacity div 2)}, Levels, Fan, Capacity).

consume(Source, Count, Sum) ->
    case next(Source) of
        over -> {Count, Sum, Count, Count};
        {Item, Rest} -> consume(Rest, Count + 1, Sum + Item)
    end.

prodcons() ->
    Items = number("items", 500000),
    Fan = number("fan", 4),
    Levels = number("levels", 4),
    Capacity = number("capacity", 64),
    Capacity > 0 orelse cannot("a mailbox is no rendezvous"),
    fun() ->
        {Count, Sum, Least, Most} = deal({range, 1, Items}, Levels, Fan, Capacity),
        {{per, Items * Levels}, fun() ->
            {[{"items", Count, Items}, {"sum", Sum, Items * (Items + 1) div 2}, {"dealt_fairly", yes(Most - Least =< 1), 1}], []}
        end}
    end.

%% bench/select.c: a mailbox is where several channels meet; each sender has credit of its own.
receive_all(0, _, Count, Sum) -> {Count, Sum};
receive_all(Left, Batch, Count, Sum) ->
    receive
        {item, From, Item} ->
            case Item rem Batch of
                0 -> From ! {credit, Batch};
                _ -> ok
            end,
            receive_all(Left, Batch, Count + 1, Sum + Item);
        closed -> receive_all(Left - 1, Batch, Count, Sum)
    end.

select() ->
    Channels = number("channels", 8),
    Capacity = number("capacity", 256),
    Each = max(1, number("items", 2000000) div Channels),
    Capacity > 0 orelse cannot("a mailbox is no rendezvous"),
    fun() ->
        Parent = self(),
        spawn_each(Channels, fun(_) ->
            send(Parent, 1, Each, Capacity),
            Parent ! closed
        end),
        {Count, Sum} = receive_all(Channels, max(1, Capacity div 2), 0, 0),
        {{per, Each * Channels}, fun() ->
            {[{"items", Count, Each * Channels}, {"sum", Sum, Channels * (Each * (Each + 1) div 2)}], []}
        end}
    end.

%% bench/cancel.c: `DOWN` says who has ended, and that it was told to.
cancel() ->
    Tasks = number("tasks", 1000000),
    Parent = self(),
    All = [spawn_monitor(fun() ->
        Parent ! arrived,
        receive never -> ok end
    end) || _ <- lists:seq(1, Tasks)],
    collect(Tasks, arrived),
    fun() ->
        [exit(Pid, cancelled) || {Pid, _} <- All],
        Cancelled = lists:sum([receive {'DOWN', _, process, _, Why} -> yes(Why =:= cancelled) end || _ <- All]),
        {wall, fun() -> {[{"cancelled", Cancelled, Tasks}], []} end}
    end.

%% bench/mix.c
compute(0, _, Result) -> Result;
compute(Rounds, State, Result) ->
    {Number, Next} = random(State),
    compute(Rounds - 1, Next, (Result + Number) band 16#ffffffffffffffff).

compute_all(Units, Rounds) ->
    All = [async(fun() -> compute(Rounds, I, 0) end) || I <- lists:seq(0, Units - 1)],
    lists:sum([await(Pid) || Pid <- All]) band 16#7fffffffffffffff.

sleep(State, Longest, Late) ->
    {Number, Next} = random(State),
    Nap = Number rem Longest,
    Begin = erlang:monotonic_time(nanosecond),
    receive over -> Late
    after (Nap + 999999) div 1000000 -> sleep(Next, Longest, [erlang:monotonic_time(nanosecond) - Begin - Nap | Late])
    end.

mix() ->
    Units = number("units", 1000),
    Rounds = number("rounds", 1000),
    Longest = number("longest", 20) * 1000000,
    Begin = erlang:monotonic_time(nanosecond),
    Expected = compute_all(Units, Rounds),
    Alone = erlang:monotonic_time(nanosecond) - Begin,
    Sleepers = [async(fun() -> sleep(I, Longest, []) end) || I <- lists:seq(0, number("sleepers", 100) - 1)],
    fun() ->
        Mixed = erlang:monotonic_time(nanosecond),
        Sum = compute_all(Units, Rounds),
        Beside = erlang:monotonic_time(nanosecond) - Mixed,
        {{us_per, Units}, fun() ->
            [Pid ! over || Pid <- Sleepers],
            Late = lists:append([await(Pid) || Pid <- Sleepers]),
            {[{"sum", Sum, Expected}, {"early", length([One || One <- Late, One < 0]), 0}],
             [{"alone", "us/unit", Alone / Units / 1.0e3}, {"throughput", "of alone", Alone / Beside}, {"sleeps", "", length(Late)}]
             ++ lateness(Late)}
        end}
    end.

%% splitmix64, as in bench/util.h
random(State) ->
    Mask = 16#ffffffffffffffff,
    Next = (State + 16#9e3779b97f4a7c15) band Mask,
    A = ((Next bxor (Next bsr 30)) * 16#bf58476d1ce4e5b9) band Mask,
    B = ((A bxor (A bsr 27)) * 16#94d049bb133111eb) band Mask,
    {B bxor (B bsr 31), Next}.

naps(0, _, _, Naps) -> lists:reverse(Naps);
naps(Count, Longest, State, Naps) ->
    {Number, Next} = random(State),
    naps(Count - 1, Longest, Next, [Number rem Longest | Naps]).

timers() ->
    Tasks = number("tasks", 100000),
    Naps = naps(Tasks, number("longest", 1000) * 1000000, number("seed", 1), []),
    Parent = self(),
    fun() ->
        [spawn_link(fun() ->
            Begin = erlang:monotonic_time(nanosecond),
            receive after (Nap + 999999) div 1000000 -> ok end,
            Parent ! {late, erlang:monotonic_time(nanosecond) - Begin - Nap}
        end) || Nap <- Naps],
        Late = [receive {late, One} -> One end || _ <- Naps],
        {cpu, fun() ->
            Early = length([One || One <- Late, One < 0]),
            {[{"slept", Tasks, Tasks}, {"early", Early, 0}], lateness(Late)}
        end}
    end.

lateness([]) -> [];
lateness(Late) ->
    Sorted = lists:sort(Late),
    Count = length(Sorted),
    At = fun(Rank) -> lists:nth(Rank, Sorted) / 1.0e3 end,
    [{"lateness_us.p" ++ Name, "us", At((Count * Permille + 999) div 1000)} || {Name, Permille} <-
        [{"10", 100}, {"25", 250}, {"50", 500}, {"75", 750}, {"90", 900}, {"95", 950}, {"98", 980}, {"99", 990}, {"99.5", 995}, {"99.9", 999}]]
    ++ [{"lateness_us.max", "us", At(Count)}].

%% ---- arguments, figures ----

arguments(["--" ++ Key, Value | Words]) -> [{Key, Value} | arguments(Words)];
arguments(_) -> [].

text(Key, Otherwise) -> proplists:get_value(Key, get(arguments), Otherwise).

number(Key, Otherwise) ->
    case string:to_float(text(Key, "none")) of
        {Float, []} when is_float(Float) -> round(Float);
        _ ->
            case string:to_integer(text(Key, "none")) of
                {Integer, []} when is_integer(Integer) -> Integer;
                _ -> Otherwise
            end
    end.

%% 1.0e-9, 1e-9 or 1000
real(Key, Otherwise) ->
    Text = text(Key, "none"),
    case re:run(Text, "^([0-9]+)(e.*)$", [{capture, all_but_first, list}]) of
        {match, [Digits, Exponent]} -> list_to_float(Digits ++ ".0" ++ Exponent);
        nomatch ->
            case string:to_float(Text) of
                {Float, []} when is_float(Float) -> Float;
                _ -> number(Key, Otherwise) * 1.0
            end
    end.

%% Checks are whole numbers.
yes(true) -> 1;
yes(false) -> 0.

memory(Field) ->
    {ok, Status} = file:read_file("/proc/self/status"),
    case re:run(Status, [Field, "\\s*([0-9]+)"], [{capture, all_but_first, list}]) of
        {match, [Kilobytes]} -> list_to_integer(Kilobytes) * 1024;
        nomatch -> 0
    end.

version() ->
    ["OTP ", erlang:system_info(otp_release), ", ERTS ", erlang:system_info(version)].

join(Texts) -> lists:join(", ", Texts).

cannot(Why) ->
    io:format(standard_error, "~s~n", [Why]),
    halt(3).
