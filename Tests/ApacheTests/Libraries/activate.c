/* activate.c: starts a program with a listening socket, as systemd or a FastCGI process manager does.
 *
 *     activate systemd|stdin|other PATH PROGRAM [ARGUMENT]...
 *
 * systemd: the socket is descriptor 3, LISTEN_FDS and LISTEN_PID say so. other: as systemd, but for
 * another process. stdin: the socket is descriptor 0. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int listener, target;
    char pid[32];

    if (argc < 4 || strlen(argv[2]) >= sizeof(address.sun_path)) return 99;
    strcpy(address.sun_path, argv[2]);
    target = strcmp(argv[1], "stdin") ? 3 : 0;
    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof(address)) != 0
        || listen(listener, 64) != 0) {
        perror("activate");
        return 99;
    }
    if (listener != target) {
        if (dup2(listener, target) < 0) return 99;
        close(listener);
    }
    if (target == 3) {
        snprintf(pid, sizeof(pid), "%d", (int)getpid() + (strcmp(argv[1], "other") ? 0 : 1));
        setenv("LISTEN_FDS", "1", 1);
        setenv("LISTEN_PID", pid, 1);
        setenv("LISTEN_FDNAMES", "app", 1);
    }
    execv(argv[3], argv + 3);
    perror(argv[3]);
    return 99;
}
