/* An application of C whose requests are put aside. Its query is a number, its paths:
 *   /wakes      waits that often, and uses the waker at the worst moment: when the request has been
 *               put aside and its thread has not left yet
 *   /together   comes back from a wait and keeps its thread until that many others have done the same
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "swiftgi.h"

struct task {
    swiftgi_waker *waker;
    long waits, others;
};

static const swiftgi_server *server;
static int present; /* atomic */

static swiftgi_bytes bytes(const char *text)
{
    swiftgi_bytes bytes = { text, strlen(text) };
    return bytes;
}

/* Ten seconds are more than enough for those who come at all. */
static int is_met(long others)
{
    int looks;

    __atomic_add_fetch(&present, 1, __ATOMIC_SEQ_CST);
    for (looks = 0; looks < 2000; looks++) {
        if (__atomic_load_n(&present, __ATOMIC_SEQ_CST) > others) return 1;
        usleep(5000);
    }
    return 0;
}

static swiftgi_status end(swiftgi_request *request, struct task *task)
{
    const char *text = task->others == 0 || is_met(task->others) ? "done\n" : "alone\n";
    swiftgi_status status = server->start(request, 200, bytes(""), (int64_t)strlen(text));

    server->release(task->waker);
    free(task);
    return status == SWIFTGI_OK ? server->write(request, bytes(text), SWIFTGI_LAST) : status;
}

static swiftgi_status go_on(swiftgi_request *request, struct task *task)
{
    swiftgi_status status;
    uint32_t events = 0;

    if (task->waits-- == 0) return end(request, task);
    status = server->wait(request, task, 0, &events);
    if (status != SWIFTGI_SUSPENDED) return SWIFTGI_FAILED;
    server->wake(task->waker);
    return status;
}

static swiftgi_status handle(void *application, swiftgi_request *request)
{
    swiftgi_bytes value = { NULL, 0 };
    struct task *task = calloc(1, sizeof(*task));
    char query[20] = "";
    long number;

    if (server->variable(request, bytes("QUERY_STRING"), &value) && value.count < sizeof(query)) {
        memcpy(query, value.start, value.count);
    }
    number = atol(query);
    if (server->variable(request, bytes("PATH_INFO"), &value) && value.count == 6) {
        task->waits = number;
    }
    else {
        task->waits = 1;
        task->others = number;
    }
    task->waker = server->waker(request);
    return go_on(request, task);
}

static swiftgi_status resume(void *application, swiftgi_request *request, void *task, uint32_t events)
{
    return go_on(request, task);
}

static swiftgi_status start(void *application, const swiftgi_server *given)
{
    server = given;
    return SWIFTGI_OK;
}

static void stop(void *application, uint32_t grace) {}

const swiftgi_application_table *swiftgi_application(void)
{
    static const swiftgi_application_table table = {
        .abi = SWIFTGI_ABI_VERSION,
        .size = sizeof(table),
        .name = { "waiting", 7 },
        .compiler = { "C", 1 },
        .start = start,
        .handle = handle,
        .stop = stop,
        .resume = resume,
    };
    return &table;
}
