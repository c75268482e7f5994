/* A daemon in place of swiftgi-run that serves nothing by itself: it hands its listening socket
 * to whoever listens at RELAY, the tests, and then only waits for its end. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define LISTENER 3
#define READY 4

int main(void)
{
    const char *path = getenv("RELAY");
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    char control[CMSG_SPACE(sizeof(int))] = { 0 }, byte = 'l';
    struct iovec piece = { .iov_base = &byte, .iov_len = 1 };
    struct msghdr message = { .msg_iov = &piece,
                              .msg_iovlen = 1,
                              .msg_control = control,
                              .msg_controllen = sizeof(control) };
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0), listener = LISTENER;

    if (!path || strlen(path) >= sizeof(address.sun_path)) return 2;
    strcpy(address.sun_path, path);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        perror(path);
        return 2;
    }
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &listener, sizeof(listener));
    if (sendmsg(fd, &message, 0) != 1) return 2;
    /* Ready when the other side has it. */
    if (read(fd, &byte, 1) != 1 || write(READY, "r", 1) != 1) return 2;
    signal(SIGTERM, SIG_DFL);
    for (;;) pause();
}
