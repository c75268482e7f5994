/* address.c: listening sockets, made or inherited. */
#define _GNU_SOURCE
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

bool launch_is_listening(int descriptor)
{
    int is_listening = 0;
    socklen_t size = sizeof(is_listening);

    return getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &is_listening, &size) == 0
           && is_listening;
}

static bool refuse(const launch_options *options, const char *what)
{
    launch_log(options, "critical", "SGI0351: cannot listen at %s: %s", options->address, what);
    return false;
}

/* A socket that nobody listens at any more is in the way. */
static bool remove_stale(const struct sockaddr_un *address, socklen_t size)
{
    struct stat status;
    int probe, result;

    if (lstat(address->sun_path, &status) != 0) return errno == ENOENT;
    if (!S_ISSOCK(status.st_mode)) {
        errno = EEXIST;
        return false;
    }
    probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0) return false;
    result = connect(probe, (const struct sockaddr *)address, size);
    if (result == 0 || errno != ECONNREFUSED) {
        close(probe);
        errno = EADDRINUSE;
        return false;
    }
    close(probe);
    return unlink(address->sun_path) == 0;
}

static bool listen_unix(launch_options *options, const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    size_t length = strlen(path);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
    mode_t mask = 0;
    int result;

    if (length == 0) return refuse(options, "there is no path");
    if (length >= sizeof(address.sun_path)) return refuse(options, "the path is too long");
    memcpy(address.sun_path, path, length + 1);
    if (!remove_stale(&address, size)) return refuse(options, strerror(errno));
    options->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (options->listener < 0) return refuse(options, strerror(errno));
    /* Nobody gets in before the permissions are what they should be. */
    if (options->socket_mode >= 0) mask = umask(0777);
    result = bind(options->listener, (struct sockaddr *)&address, size);
    if (options->socket_mode >= 0) umask(mask);
    if (result != 0) return refuse(options, strerror(errno));
    memcpy(options->socket_path, path, length + 1);
    if (options->socket_group) {
        struct group *group = getgrnam(options->socket_group);

        if (!group) return refuse(options, "there is no such group");
        if (chown(path, (uid_t)-1, group->gr_gid) != 0) return refuse(options, strerror(errno));
    }
    if (options->socket_mode >= 0 && chmod(path, (mode_t)options->socket_mode) != 0) {
        return refuse(options, strerror(errno));
    }
    return true;
}

static bool listen_inet(launch_options *options, const char *text)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE }, *found,
                    *one;
    const char *colon = strrchr(text, ':');
    char host[256];
    size_t length;
    int result, on = 1, error = 0;

    if (!colon || !colon[1]) {
        return refuse(options,
                      "it is none of unix:/path, host:port, [address]:port, :port, fd:N");
    }
    /* getaddrinfo() takes the number that is left when 65536 is taken off. */
    if (strspn(colon + 1, "0123456789") == strlen(colon + 1)
        && (strlen(colon + 1) > 5 || atoi(colon + 1) > 65535)) {
        return refuse(options, "ports end at 65535");
    }
    length = (size_t)(colon - text);
    if (length >= 2 && text[0] == '[' && text[length - 1] == ']') {
        text++;
        length -= 2;
    }
    else if (memchr(text, ':', length)) {
        return refuse(options, "an IPv6 address has to be in brackets");
    }
    if (length >= sizeof(host)) return refuse(options, "the host's name is too long");
    memcpy(host, text, length);
    host[length] = '\0';
    result = getaddrinfo(length ? host : NULL, colon + 1, &hints, &found);
    if (result != 0) return refuse(options, gai_strerror(result));
    for (one = found; one && options->listener < 0; one = one->ai_next) {
        int listener =
            socket(one->ai_family, one->ai_socktype | SOCK_CLOEXEC, one->ai_protocol);

        if (listener >= 0) {
            setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
            if (bind(listener, one->ai_addr, one->ai_addrlen) == 0) {
                options->listener = listener;
                break;
            }
            error = errno;
            close(listener);
        }
        else {
            error = errno;
        }
    }
    freeaddrinfo(found);
    return options->listener >= 0 || refuse(options, strerror(error));
}

static bool take_descriptor(launch_options *options, const char *text)
{
    char *end;
    long number = strtol(text, &end, 10);

    if (*text < '0' || *text > '9' || *end || number > 65535)
        return refuse(options, "it names no descriptor");
    if (!launch_is_listening((int)number)) return refuse(options, "it is no listening socket");
    options->listener = (int)number;
    return true;
}

bool launch_listen(launch_options *options)
{
    const char *text = options->address;

    if (!strncmp(text, "fd:", 3)) return take_descriptor(options, text + 3);
    if (!strncmp(text, "unix:", 5)) {
        if (!listen_unix(options, text + 5)) return false;
    }
    else if (text[0] == '/') {
        if (!listen_unix(options, text)) return false;
    }
    else if (!listen_inet(options, text)) {
        return false;
    }
    options->is_bound_here = true;
    if (listen(options->listener, options->backlog) != 0)
        return refuse(options, strerror(errno));
    return true;
}

void launch_unlink(const launch_options *options)
{
    if (options->socket_path[0]) unlink(options->socket_path);
}
