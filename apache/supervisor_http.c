/* supervisor_http.c: processes that are HTTP servers: their addresses, and what can be known of
 * a program that says nothing itself: whether it serves, and whether anybody is connected.
 *
 * Each process has an address of its own, so that the one that comes and the one that goes
 * can be told apart. A request has a connection of its own, too: once the address is published
 * no more and the kernel knows of no connection with it, no request can be lost, however the
 * program takes it to be told to end. */
#include "supervisor.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* How often to look whether a process serves, or whether connections are left; milliseconds. */
#define LOOK 25
#define LOOK_LONGER 100

/* Who has read an address may connect within this time. */
#define SETTLING 1000

/* The name of a socket in its directory. */
#define SOCKET_NAME "/s"

/* What mkdtemp puts in the place of each X. */
#define SUFFIX "-XXXXXX"
#define SUFFIX_LENGTH 6

/* States of TCP in /proc. */
#define TCP_ESTABLISHED 1
#define TCP_SYN_RECEIVED 3
#define TCP_LISTEN 10

/* A socket that listens, in /proc/net/unix. */
#define UNIX_LISTENS 0x10000

bool http_is(const backend *b)
{
    return b->settings->listening != SUPERVISOR_SHARED;
}

static uid_t user_of(const backend *b)
{
    return b->settings->changes_user ? (uid_t)b->settings->uid : geteuid();
}

/* ---- addresses ---- */

/* A directory that is the user's alone to write to, and that httpd's children may pass. */
static bool make_directory(const backend *b, process *p)
{
    char path[sizeof(p->address.text)];
    int length = snprintf(path, sizeof(path), "%s" SUFFIX, b->strings[SUPERVISOR_ADDRESS]);

    if (length < 0 || (size_t)length + sizeof(SOCKET_NAME) > sizeof(path)) {
        errno = ENAMETOOLONG;
        return false;
    }
    if (!mkdtemp(path)) return false;
    if ((b->settings->changes_user && lchown(path, b->settings->uid, b->settings->gid) < 0)
        || chmod(path, 0711) < 0) {
        int error = errno;

        rmdir(path);
        errno = error;
        return false;
    }
    memcpy(p->address.text, path, (size_t)length);
    memcpy(p->address.text + length, SOCKET_NAME, sizeof(SOCKET_NAME));
    return true;
}

/* A port that nobody uses. Somebody else may take it until the program does; then this start
 * fails, and the next has another. */
static bool choose_port(process *p)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof(address);
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), error;
    bool is_found = s >= 0 && bind(s, (struct sockaddr *)&address, size) == 0
                    && getsockname(s, (struct sockaddr *)&address, &size) == 0;

    error = errno;
    if (s >= 0) close(s);
    errno = error;
    if (!is_found) return false;
    p->address.port = ntohs(address.sin_port);
    snprintf(p->address.text, sizeof(p->address.text), "127.0.0.1:%u", p->address.port);
    return true;
}

bool http_prepare(const backend *b, process *p)
{
    p->address.probe = -1;
    p->address.patience = (int64_t)b->settings->shutdown_timeout;
    return b->settings->listening == SUPERVISOR_PORT ? choose_port(p) : make_directory(b, p);
}

char *http_expand(const process *p, const char *text)
{
    const char *mark = p->address.port ? "%{port}" : "%{socket}", *found;
    const char *address = p->address.port ? strchr(p->address.text, ':') + 1 : p->address.text;
    size_t count = 0, used = 0;
    char *result;

    for (found = text; (found = strstr(found, mark)) != NULL; found += strlen(mark)) count++;
    result = malloc(strlen(text) + count * strlen(address) + 1);
    if (!result) return NULL;
    while ((found = strstr(text, mark)) != NULL) {
        memcpy(result + used, text, (size_t)(found - text));
        used += (size_t)(found - text);
        strcpy(result + used, address);
        used += strlen(address);
        text = found + strlen(mark);
    }
    strcpy(result + used, text);
    return result;
}

static void end_probe(process *p)
{
    if (p->address.probe >= 0) close(p->address.probe);
    p->address.probe = -1;
    p->address.was_asked = false;
    p->address.length = 0;
}

void http_release(process *p)
{
    char *name;

    if (!p->address.text[0]) return;
    end_probe(p);
    if (p->address.port) return;
    unlink(p->address.text);
    name = strrchr(p->address.text, '/');
    *name = '\0';
    rmdir(p->address.text);
    p->address.text[0] = '\0';
}

/* ---- what the kernel knows ---- */

typedef struct sockets {
    bool is_listened_at;
    uid_t listener; /* of a port */
    unsigned connections;
} sockets;

/* Those that wait to be accepted have the path, too. */
static bool find_unix(const char *path, sockets *found)
{
    FILE *file = fopen("/proc/net/unix", "re");
    char line[512];

    if (!file) return false;
    while (fgets(line, sizeof(line), file)) {
        unsigned long flags;
        char *name = strchr(line, '/');

        if (!name || sscanf(line, "%*s %*x %*x %lx", &flags) != 1) continue;
        name[strcspn(name, "\n")] = '\0';
        if (strcmp(name, path)) continue;
        if (flags & UNIX_LISTENS) found->is_listened_at = true;
        else found->connections++;
    }
    fclose(file);
    return true;
}

static bool find_tcp(const char *table, unsigned port, sockets *found)
{
    FILE *file = fopen(table, "re");
    char line[512];

    if (!file) return false;
    while (fgets(line, sizeof(line), file)) {
        unsigned local, state, uid;

        if (sscanf(line, "%*s %*[0-9A-Fa-f]:%x %*s %x %*s %*s %*s %u", &local, &state, &uid)
                != 3
            || local != port) {
            continue;
        }
        if (state == TCP_LISTEN) {
            found->is_listened_at = true;
            found->listener = (uid_t)uid;
        }
        else if (state == TCP_ESTABLISHED || state == TCP_SYN_RECEIVED) found->connections++;
    }
    fclose(file);
    return true;
}

/* False if it cannot be known. */
static bool find_sockets(const process *p, sockets *found)
{
    memset(found, 0, sizeof(*found));
    if (!p->address.port) return find_unix(p->address.text, found);
    /* There may be no IPv6. */
    find_tcp("/proc/net/tcp6", p->address.port, found);
    return find_tcp("/proc/net/tcp", p->address.port, found);
}

/* ---- whether it serves ---- */

/* Of two that httpd and the program may connect with, only httpd's user may. The descriptor
 * holds what was looked at, whatever the program puts in its place. */
static bool adopt_socket(const backend *b, process *p)
{
    char path[64];
    struct stat status;
    int descriptor = open(p->address.text, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    bool is_done;

    if (descriptor < 0) return false;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", descriptor);
    is_done = fstat(descriptor, &status) == 0 && S_ISSOCK(status.st_mode)
              && (status.st_uid == user_of(b) || status.st_uid == b->settings->peer)
              && status.st_nlink == 1
              && (geteuid() != 0 || chown(path, b->settings->peer, (gid_t)-1) == 0)
              && chmod(path, 0600) == 0;
    close(descriptor);
    if (!is_done && !p->address.was_refused) {
        p->address.was_refused = true;
        log_line(b, p->pid, LEVEL_ERROR,
                 "SGI0425: %s is no socket that the process alone has made, it is not used",
                 p->address.text);
    }
    return is_done;
}

/* A port may be somebody else's. */
static bool owns_port(const backend *b, process *p)
{
    sockets found;

    if (find_sockets(p, &found) && (!found.is_listened_at || found.listener == user_of(b)))
        return found.is_listened_at;
    if (p->address.was_refused) return false;
    p->address.was_refused = true;
    log_line(b, p->pid, LEVEL_ERROR,
             "SGI0426: another user than the process's listens at %s, it is not used",
             p->address.text);
    return false;
}

static bool begin_probe(process *p)
{
    struct sockaddr_un local = { .sun_family = AF_UNIX };
    struct sockaddr_in port = { .sin_family = AF_INET,
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                .sin_port = htons((uint16_t)p->address.port) };
    int type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, result;

    p->address.probe = socket(p->address.port ? AF_INET : AF_UNIX, type, 0);
    if (p->address.probe < 0) return false;
    memcpy(local.sun_path, p->address.text, sizeof(local.sun_path));
    result = p->address.port
                 ? connect(p->address.probe, (struct sockaddr *)&port, sizeof(port))
                 : connect(p->address.probe, (struct sockaddr *)&local, sizeof(local));
    if (result == 0 || errno == EINPROGRESS) return true;
    end_probe(p);
    return false;
}

/* Whether the connection is there: 1, 0: not yet, -1: it was refused. */
static int is_connected(const process *p)
{
    struct pollfd item = { .fd = p->address.probe, .events = POLLOUT };
    int error = 0;
    socklen_t size = sizeof(error);

    if (poll(&item, 1, 0) <= 0) return 0;
    if (getsockopt(p->address.probe, SOL_SOCKET, SO_ERROR, &error, &size) < 0 || error)
        return -1;
    return 1;
}

static bool ask(const backend *b, process *p)
{
    char request[1024];
    int length = snprintf(request, sizeof(request),
                          "GET %s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: mod_swiftgi\r\n"
                          "Connection: close\r\n\r\n",
                          b->strings[SUPERVISOR_READY_PATH]);

    p->address.was_asked = true;
    return length > 0 && (size_t)length < sizeof(request)
           && send(p->address.probe, request, (size_t)length, MSG_NOSIGNAL) == length;
}

/* Whether the answer is good: 1, 0: it has not come yet, -1: it is not. */
static int read_answer(process *p)
{
    static const char version[] = "HTTP/1.";
    endpoint *a = &p->address;
    ssize_t count = recv(a->probe, a->answer + a->length, sizeof(a->answer) - 1 - a->length, 0);
    int status;

    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
    if (count <= 0) return -1;
    a->length += (size_t)count;
    a->answer[a->length] = '\0';
    /* "HTTP/1.1 200" */
    if (a->length < sizeof(version) + 4) return 0;
    if (memcmp(a->answer, version, sizeof(version) - 1)) return -1;
    status = atoi(a->answer + sizeof(version) + 1);
    return status >= 200 && status < 400 ? 1 : -1;
}

/* As read_answer, for all of it. */
static int examine(const backend *b, process *p)
{
    int result;

    if (p->address.probe < 0) {
        if (!begin_probe(p)) return -1;
    }
    if (!p->address.was_asked) {
        if ((result = is_connected(p)) <= 0) return result;
        if (!(p->address.port ? owns_port(b, p) : adopt_socket(b, p))) return -1;
        if (!*b->strings[SUPERVISOR_READY_PATH]) return 1;
        return ask(b, p) ? 0 : -1;
    }
    return read_answer(p);
}

bool http_is_ready(const backend *b, process *p, int64_t *when)
{
    int result;

    if (now() >= p->address.next) {
        result = examine(b, p);
        if (result != 0) end_probe(p);
        if (result > 0) return true;
        p->address.next = now() + (now() - p->started > SETTLING ? LOOK_LONGER : LOOK);
    }
    if (p->address.next < *when) *when = p->address.next;
    return false;
}

/* ---- the end ---- */

void http_drain(process *p, int64_t deadline)
{
    int64_t tell_at = deadline - p->address.patience;

    if (p->state != DRAINING) {
        end_probe(p);
        p->address.next = now() + SETTLING;
        p->address.tell_at = tell_at;
    }
    else if (tell_at < p->address.tell_at) p->address.tell_at = tell_at;
}

static bool is_alone(const process *p)
{
    sockets found;

    return find_sockets(p, &found) && !found.connections;
}

void http_attend(backend *b, int64_t *when)
{
    process *p;

    for (p = b->processes; p; p = p->next) {
        endpoint *a = &p->address;

        if (p->state != DRAINING || !p->deadline || a->was_told) continue;
        if (now() >= a->tell_at || (now() >= a->next && is_alone(p))) {
            a->was_told = true;
            kill(p->pid, SIGTERM);
            if (now() + a->patience < p->deadline) p->deadline = now() + a->patience;
            continue;
        }
        if (now() >= a->next) a->next = now() + LOOK_LONGER;
        if (a->next < *when) *when = a->next;
        if (a->tell_at < *when) *when = a->tell_at;
    }
}

/* ---- the links ---- */

static void name_link(const backend *b, unsigned number, char *path, size_t size)
{
    snprintf(path, size, "%s.%u", b->strings[SUPERVISOR_ADDRESS], number);
}

/* In one step: whoever reads the link finds the old content or the new. */
static void set_link(const backend *b, unsigned number, const char *content)
{
    char path[256], temporary[256];

    name_link(b, number, path, sizeof(path));
    snprintf(temporary, sizeof(temporary), "%s.new", b->strings[SUPERVISOR_ADDRESS]);
    unlink(temporary);
    if (symlink(content, temporary) == 0 && rename(temporary, path) == 0) return;
    log_line(b, 0, LEVEL_ERROR, "SGI0427: the link %s to %s could not be made: %s", path,
             content, strerror(errno));
}

static void remove_links(backend *b, unsigned from)
{
    char path[256];

    while (b->links > from) {
        name_link(b, --b->links, path, sizeof(path));
        unlink(path);
    }
}

/* Whether a name is the prefix, a hyphen and what mkdtemp puts. */
static bool is_directory_of(const char *name, const char *prefix)
{
    size_t length = strlen(prefix), i;

    if (strncmp(name, prefix, length) || name[length] != '-') return false;
    for (i = 1; i <= SUFFIX_LENGTH; i++) {
        if (!isalnum((unsigned char)name[length + i])) return false;
    }
    return !name[length + i];
}

static bool is_link_of(const char *name, const char *prefix)
{
    size_t length = strlen(prefix);

    return !strncmp(name, prefix, length) && name[length] == '.' && name[length + 1]
           && strspn(name + length + 1, "0123456789") == strlen(name + length + 1);
}

/* Removes what a supervisor has left that did not end by itself. */
static void clean(const backend *b)
{
    const char *base = b->strings[SUPERVISOR_ADDRESS], *prefix = strrchr(base, '/') + 1;
    char path[256];
    const struct dirent *entry;
    DIR *directory;

    snprintf(path, sizeof(path), "%.*s", (int)(prefix - base), base);
    directory = opendir(path);
    while (directory && (entry = readdir(directory)) != NULL) {
        char found[512];
        const process *p;

        snprintf(found, sizeof(found), "%s%s", path, entry->d_name);
        if (is_link_of(entry->d_name, prefix)) unlink(found);
        if (!is_directory_of(entry->d_name, prefix)) continue;
        for (p = b->processes; p && strncmp(p->address.text, found, strlen(found));)
            p = p->next;
        if (p) continue;
        strcat(found, SOCKET_NAME);
        unlink(found);
        found[strlen(found) - strlen(SOCKET_NAME)] = '\0';
        rmdir(found);
    }
    if (directory) closedir(directory);
}

static bool is_published(const backend *b, const process *p)
{
    return !b->is_leaving && p->state == READY && !p->is_crashing;
}

static uint64_t digest(uint64_t value, const char *text)
{
    do {
        value = (value ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    } while (*text++);
    return value;
}

void http_publish(backend *b)
{
    uint64_t value = UINT64_C(0xcbf29ce484222325);
    unsigned count = 0;
    const process *p;

    for (p = b->processes; p; p = p->next) {
        if (is_published(b, p)) value = digest(value, p->address.text);
    }
    value = digest(value, b->is_refusing ? "-" : "");
    if (value == b->published) return;
    if (!b->published) clean(b);
    b->published = value;
    /* The newest first: one that is about to go is the last. */
    for (p = b->processes; p; p = p->next) {
        if (is_published(b, p)) set_link(b, count++, p->address.text);
    }
    if (!count && b->is_refusing) set_link(b, count++, "-");
    if (b->links < count) b->links = count;
    remove_links(b, count);
}

void http_withdraw(backend *b)
{
    remove_links(b, 0);
}
