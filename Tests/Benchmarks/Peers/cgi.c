/* cgi.c: a CGI program that does no more than to answer. */
#include <stdio.h>

#include "bench.h"

int main(void)
{
    printf("Content-Type: text/plain\r\nContent-Length: %zu\r\n\r\n%s", sizeof(BENCH_HELLO) - 1,
           BENCH_HELLO);
    return 0;
}
