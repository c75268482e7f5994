/* main.c: swiftgi-run, which runs an application library behind a web server. */
#include "swiftgi_launch.h"

#include <stddef.h>

int main(int argc, char *argv[])
{
    return swiftgi_launch(argc, argv, NULL);
}
