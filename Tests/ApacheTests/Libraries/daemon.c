/* A daemon for the tests of the supervisor, in place of swiftgi-run. Each connection brings a
 * line, gets an answer, and is closed:
 *
 * who          what the process is: its pid, its user, …
 * env NAME     the variable's value
 * sleep N      the pid, after N milliseconds
 * grow N       takes N MiB of memory
 * burn N       uses N milliseconds of processor time
 * print TEXT   to standard output, complain TEXT to standard error
 * end N        ends with this status; 0 and above 128: by signal N - 128
 * say C        this byte to the supervisor
 * start        a process that outlives this one
 * cut          "cut" if it can take the memory away that it shares with the supervisor, or why not
 * reach PATH   "reached", or why this process cannot connect there
 *
 * Variables say what is wrong with it:
 *
 * DAEMON_GATE      a file: it is not ready before the file exists
 * DAEMON_REFUSES   a file: as long as it exists, the daemon cannot start
 * DAEMON_STUBBORN  it does not end when it is told to
 */
#define _GNU_SOURCE
#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define LISTENER 3
#define READY 4
#define BOARD 5

static atomic_int active, served;
static atomic_bool ends;
static int wake[2], maximum;
static struct stat library;
static char arguments[2048];

static void on_term(int number)
{
    if (getenv("DAEMON_STUBBORN")) return;
    ends = true;
    if (write(wake[1], "x", 1) < 0) return;
}

static void say(char what)
{
    if (write(READY, &what, 1) < 0) perror("ready");
}

static void nap(long milliseconds)
{
    struct timespec time = { milliseconds / 1000, milliseconds % 1000 * 1000000 };

    while (nanosleep(&time, &time) < 0 && errno == EINTR) continue;
}

static size_t who(char *answer, size_t size)
{
    gid_t groups[64];
    int count = getgroups(64, groups), i;
    char directory[1024];
    mode_t mask = umask(022);
    struct rlimit files;
    size_t n;

    umask(mask);
    getrlimit(RLIMIT_NOFILE, &files);
    n = (size_t)snprintf(answer, size,
                         "pid=%d ppid=%d uid=%d gid=%d umask=%03o cwd=%s library=%lu files=%lu groups=", getpid(), getppid(),
                         (int)getuid(), (int)getgid(), (unsigned)mask, getcwd(directory, sizeof(directory)),
                         (unsigned long)library.st_ino, (unsigned long)files.rlim_cur);
    for (i = 0; i < count; i++) n += (size_t)snprintf(answer + n, size - n, i ? ",%d" : "%d", (int)groups[i]);
    return n + (size_t)snprintf(answer + n, size - n, " arguments=%s", arguments);
}

static void burn(long milliseconds)
{
    struct timespec begin, now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
    do {
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    } while ((now.tv_sec - begin.tv_sec) * 1000 + (now.tv_nsec - begin.tv_nsec) / 1000000 < milliseconds);
}

static void grow(size_t size)
{
    volatile char *memory = malloc(size);
    size_t i;

    for (i = 0; memory && i < size; i += 1024) memory[i] = 1;
}

static const char *reach(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int s = socket(AF_UNIX, SOCK_STREAM, 0), result;

    strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
    result = connect(s, (struct sockaddr *)&address, sizeof(address));
    close(s);
    return result < 0 ? strerror(errno) : "reached";
}

static size_t answer_to(char *line, char *answer, size_t size)
{
    char *space = strchr(line, ' '), *rest = space ? space + 1 : "";
    long number = atol(rest);

    if (space) *space = '\0';
    if (!strcmp(line, "who")) return who(answer, size);
    if (!strcmp(line, "env")) return (size_t)snprintf(answer, size, "%s", getenv(rest) ? getenv(rest) : "(none)");
    if (!strcmp(line, "cut"))
        return (size_t)snprintf(answer, size, "%s", ftruncate(BOARD, 0) ? strerror(errno) : "cut");
    if (!strcmp(line, "reach")) return (size_t)snprintf(answer, size, "%s", reach(rest));
    if (!strcmp(line, "sleep")) nap(number);
    else if (!strcmp(line, "burn")) burn(number);
    else if (!strcmp(line, "grow")) grow((size_t)number << 20);
    else if (!strcmp(line, "print")) dprintf(1, "%s\n", rest);
    else if (!strcmp(line, "complain")) dprintf(2, "%s\n", rest);
    else if (!strcmp(line, "say")) say(*rest);
    else if (!strcmp(line, "end")) {
        if (number > 128) kill(getpid(), (int)number - 128);
        else _exit((int)number);
    }
    else if (!strcmp(line, "start")) {
        pid_t pid = fork();

        if (pid == 0) for (;;) pause();
        return (size_t)snprintf(answer, size, "%d", (int)pid);
    }
    return (size_t)snprintf(answer, size, "%d", (int)getpid());
}

static void *serve(void *data)
{
    int connection = (int)(long)data;
    char line[1024] = "", answer[8192];
    size_t count = 0;
    ssize_t n;

    while (count < sizeof(line) - 1 && !memchr(line, '\n', count)
           && (n = read(connection, line + count, sizeof(line) - 1 - count)) > 0) {
        count += (size_t)n;
    }
    line[strcspn(line, "\n")] = '\0';
    count = answer_to(line, answer, sizeof(answer));
    if (write(connection, answer, count) < 0 && errno != EPIPE) perror("answer");
    close(connection);
    if (++served == maximum) say('m');
    active--;
    if (ends && write(wake[1], "x", 1) < 0) perror("wake");
    return NULL;
}

static void accept_until_told(void)
{
    struct pollfd items[] = { { .fd = LISTENER, .events = POLLIN }, { .fd = wake[0], .events = POLLIN } };

    while (!ends) {
        pthread_t thread;
        int connection;

        if (poll(items, 2, -1) <= 0 || ends) continue;
        connection = accept4(LISTENER, NULL, NULL, SOCK_CLOEXEC);
        if (connection < 0) continue;
        active++;
        pthread_create(&thread, NULL, serve, (void *)(long)connection);
        pthread_detach(thread);
    }
}

int main(int argc, char *argv[])
{
    const char *gate = getenv("DAEMON_GATE"), *refuses = getenv("DAEMON_REFUSES");
    char byte;
    int i;

    for (i = 0; i < argc; i++) {
        snprintf(arguments + strlen(arguments), sizeof(arguments) - strlen(arguments), i ? " %s" : "%s", argv[i]);
        if (!strcmp(argv[i], "--max-requests") && i + 1 < argc) maximum = atoi(argv[i + 1]);
    }
    stat(argv[argc - 1], &library);
    if (refuses && access(refuses, F_OK) == 0) {
        fprintf(stderr, "the database is away\n");
        return 69;
    }
    if (pipe(wake) < 0) return 1;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, on_term);
    while (gate && access(gate, F_OK) < 0 && !ends) nap(5);
    say('r');
    accept_until_told();
    while (active > 0) if (read(wake[0], &byte, 1) < 0 && errno != EINTR) return 1;
    return 0;
}
