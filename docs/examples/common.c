/* SPDX-License-Identifier: MIT */
/* What the examples share.
 *
 * The end by a signal. SIGINT and SIGTERM are blocked before the runtime starts, and read from a signalfd by the first task, which then cancels the scope that all
 * else is in. Parked calls return -ECANCELED there, so everything ends by the same way as it does on an error. The reader is ended in turn when the
 * program has done its work.
 *
 * The loop that accepts. A unit of `room` is taken before a connection is accepted and given back when it ends: who comes when none is left waits in the kernel's
 * line. Running out of descriptors or memory is no reason to end, since each connection that ends gives some back; but trying again at once would spin, because
 * the connection is still there to be accepted. So the loop waits until one of its own ends, or a tenth of a second if what is missing is
 * missing in the whole system. */
#include "common.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define SETTINGS_MAX 15 /* of one program */
#define BACKLOG 4096
#define SPARE_DESCRIPTORS 128 /* the runtime's, the listener, what libraries open */

void complain(const char *format, ...)
{
    va_list args;
    char text[1024];
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fprintf(stderr, "%s: %s\n", program_invocation_short_name, text);
}

/* ---- options ---- */

static void wrong_usage(void)
{
    fprintf(stderr, "Try '%s --help'.\n", program_invocation_short_name);
    exit(USAGE);
}

static void take(const struct setting *setting, const char *text)
{
    if (setting->flag) {
        *setting->flag = true;
    } else if (setting->word) {
        *setting->word = text;
    } else {
        char *end;
        errno = 0;
        long number = strtol(text, &end, 10);
        if (errno || end == text || *end || number < setting->least || number > setting->most) {
            complain("--%s takes a number from %ld to %ld, not '%s'", setting->name, setting->least, setting->most, text);
            wrong_usage();
        }
        *setting->number = number;
    }
}

int take_options(int argc, char **argv, const struct setting *settings, int count, const char *help, int operands_least, int operands_most)
{
    struct option table[SETTINGS_MAX + 2] = {{"help", no_argument, NULL, SETTINGS_MAX}};
    for (int i = 0; i < count && i < SETTINGS_MAX; i++)
        table[i + 1] = (struct option){settings[i].name, settings[i].flag ? no_argument : required_argument, NULL, i};
    for (int option; (option = getopt_long(argc, argv, "", table, NULL)) != -1;) {
        if (option == SETTINGS_MAX) {
            fputs(help, stdout);
            exit(fflush(stdout) == 0 ? DONE : FAILED);
        }
        if (option == '?')
            wrong_usage();
        take(&settings[option], optarg);
    }
    int operands = argc - optind;
    if (operands < operands_least || operands > operands_most) {
        complain(operands > operands_most ? "one word too many: '%s'" : "%ssomething is missing",
                 operands > operands_most ? argv[optind + operands_most] : "");
        wrong_usage();
    }
    return optind;
}

/* ---- the runtime ---- */

long workers;

struct program {
    filch_fn *fn;
    void *arg;
    filch_scope *scope;
    int signals; /* the signalfd */
    int signal, status;
};

static int program_task(void *arg)
{
    struct program *program = arg;
    program->status = program->fn(program->arg);
    filch_cancel(program->scope); /* no more signals are waited for */
    return 0;
}

static int first_task(void *arg)
{
    struct program *program = arg;
    struct signalfd_siginfo info;
    FILCH_SCOPE(scope);
    program->scope = &scope;
    int r = filch_spawn(&scope, program_task, program);
    if (r < 0)
        return r;
    if (filch_read(program->signals, &info, sizeof info) == sizeof info) {
        program->signal = (int)info.ssi_signo;
        filch_cancel(&scope);
    }
    filch_join(&scope);
    return 0;
}

/* A standard descriptor that was not given would be the next file that is opened, the signalfd, say. In its place stands one that cannot be used. */
static void keep_standard_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            (void)!open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

int run(filch_fn *fn, void *arg, int *ret_signal)
{
    struct program program = {.fn = fn, .arg = arg};
    sigset_t signals, before;
    keep_standard_descriptors();
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, &before);
    program.signals = signalfd(-1, &signals, SFD_CLOEXEC);
    int r = program.signals < 0 ? -errno : filch_run(&(filch_config){.workers = (unsigned)workers}, first_task, &program);
    if (program.signals >= 0)
        close(program.signals);
    sigprocmask(SIG_SETMASK, &before, NULL);
    *ret_signal = program.signal;
    if (r == 0)
        return program.status;
    complain("cannot start: %s%s", strerror(-r), r == -EMFILE ? "; raise the limit of open files (ulimit -n)" : "");
    return FAILED;
}

int run_tool(filch_fn *fn, void *arg)
{
    int signal, status = run(fn, arg, &signal);
    if (signal)
        die_by(signal);
    return status;
}

void die_by(int number)
{
    signal(number, SIG_DFL);
    raise(number);
}

/* ---- what several need ---- */

__attribute__((noinline)) int or_error(int r)
{
    return r < 0 ? -errno : r;
}

void reset_at_close(int fd)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

/* ---- servers ---- */

const char *server_address;
long server_port, server_connections = 10000;

static int listener;
static int (*serve_connection)(int fd);
static filch_sem room;
static filch_event one_less = FILCH_EVENT_AUTO; /* a connection has ended */

static int connection_task(void *arg)
{
    int fd = (int)(intptr_t)arg;
    serve_connection(fd);
    filch_close(fd);
    filch_sem_release(&room);
    filch_event_set(&one_less);
    return 0; /* a connection that failed is not the server's failure */
}

static int wait_for_one_less(void)
{
    filch_case cases[] = {filch_case_event(&one_less), filch_case_until(filch_after(FILCH_MSEC(100)))};
    return filch_select(cases, 2) == -ECANCELED ? -ECANCELED : 0;
}

/* Takes one connection, which has its unit of `room`. @return 0, also if there was none to be had; -errno: the end of the server */
static int accept_one(filch_scope *connections)
{
    int fd = filch_accept(listener, NULL, NULL, SOCK_CLOEXEC), r = fd;
    if (fd >= 0) {
        r = filch_spawn(connections, connection_task, (void *)(intptr_t)fd);
        if (r == 0)
            return 0;
        filch_close(fd);
    }
    filch_sem_release(&room);
    switch (r) {
    case -EMFILE:
    case -ENFILE:
    case -ENOBUFS:
    case -ENOMEM:
    case -EAGAIN:
        return wait_for_one_less();
    case -EBADF:
    case -EINVAL:
    case -ENOTSOCK:
    case -ECANCELED:
        return r;
    default: /* that connection's own misfortune, see accept(2) */
        return 0;
    }
}

/* A socket that listens on the address, or -1 and errno. */
static int listen_on(const struct addrinfo *address)
{
    int yes = 1, no = 0, fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (address->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no); /* IPv4 comes in as well, as ::ffff:a.b.c.d */
    if (bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

/* A socket that listens, or -1 with a complaint. */
static int open_listener(void)
{
    char port[8];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV}, *list;
    snprintf(port, sizeof port, "%ld", server_port);
    int fd = -1, r = getaddrinfo(server_address ? server_address : "::", port, &hints, &list);
    if (r) {
        complain("'%s' is not an address to listen on (such as 127.0.0.1 or ::1): %s", server_address, gai_strerror(r));
        return -1;
    }
    fd = listen_on(list);
    freeaddrinfo(list);
    if (fd < 0 && errno == EAFNOSUPPORT && !server_address) { /* a kernel without IPv6 */
        struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons((uint16_t)server_port), .sin_addr.s_addr = htonl(INADDR_ANY)};
        fd = listen_on(&(struct addrinfo){.ai_family = AF_INET, .ai_addr = (struct sockaddr *)&any, .ai_addrlen = sizeof any});
    }
    if (fd < 0)
        complain("cannot listen on port %ld: %s%s", server_port, strerror(errno),
                 errno == EADDRINUSE ? "; choose another by --port"
                 : errno == EACCES   ? "; ports below 1024 are for root"
                                     : "");
    return fd;
}

/* Descriptors for as many connections as are allowed, or as many connections as there may be descriptors for. */
static void fit_descriptors(int each)
{
    struct rlimit limit;
    rlim_t wanted = (rlim_t)(server_connections * each + SPARE_DESCRIPTORS);
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < wanted && limit.rlim_cur > SPARE_DESCRIPTORS)
        server_connections = ((long)limit.rlim_cur - SPARE_DESCRIPTORS) / each;
}

static void tell_port(void)
{
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof address;
    getsockname(listener, (struct sockaddr *)&address, &size);
    printf("port %u\n", ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                                            : ((struct sockaddr_in *)&address)->sin_port));
    fflush(stdout);
}

static int accept_all(void *arg)
{
    (void)arg;
    tell_port(); /* not before signals end it well */
    FILCH_SCOPE(connections);
    int r = 0;
    while (r == 0)
        if ((r = filch_sem_acquire(&room)) == 0)
            r = accept_one(&connections);
    if (r == -ECANCELED)
        return DONE; /* by leaving the scope what is still open is ended */
    complain("cannot accept connections any more: %s", strerror(-r));
    return FAILED;
}

int serve(int (*connection)(int fd), int descriptors)
{
    int signal;
    fit_descriptors(descriptors);
    listener = open_listener();
    if (listener < 0)
        return FAILED;
    serve_connection = connection;
    room = (filch_sem)FILCH_SEM(server_connections);
    int status = run(accept_all, NULL, &signal);
    close(listener);
    return status;
}
