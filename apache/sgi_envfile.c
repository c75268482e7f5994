/* sgi_envfile.c: files of environment variables. */
#include "sgi_envfile.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SPACES " \t\r\n"

int sgi_envfile_is_name(const char *name, size_t length)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
    static const char characters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";

    return length > 0 && name[0] && strchr(letters, name[0])
           && strspn(name, characters) >= length;
}

/* The variable of a line, in place; NULL with `*what` if it is none, or if there is none. */
static char *parse(char *line, const char **what)
{
    char *equals, *value, *end;

    *what = NULL;
    line += strspn(line, SPACES);
    end = line + strlen(line);
    while (end > line && strchr(SPACES, end[-1])) *--end = '\0';
    if (!*line || *line == '#') return NULL;
    equals = strchr(line, '=');
    if (!equals || !sgi_envfile_is_name(line, (size_t)(equals - line))) {
        *what = "is not NAME=value";
        return NULL;
    }
    value = equals + 1;
    if (*value == '"' || *value == '\'') {
        if (end - value < 2 || end[-1] != *value) {
            *what = "has no closing quotation mark at its end";
            return NULL;
        }
        *--end = '\0';
        memmove(value, value + 1, (size_t)(end - value));
    }
    return line;
}

int sgi_envfile_read(const char *path, void (*take)(void *context, const char *variable),
                     void *context, char *problem, size_t problem_size)
{
    FILE *file = fopen(path, "re");
    struct stat status;
    const char *what = NULL;
    char *line = NULL;
    size_t size = 0;
    ssize_t count;
    unsigned number = 0;

    if (!file || fstat(fileno(file), &status) < 0) {
        snprintf(problem, problem_size, "%s", strerror(errno));
        if (file) fclose(file);
        return -1;
    }
    if (!S_ISREG(status.st_mode)) {
        snprintf(problem, problem_size, "it is not a regular file");
        fclose(file);
        return -1;
    }
    while (!what && (count = getline(&line, &size, file)) >= 0) {
        char *variable;

        number++;
        if (strlen(line) != (size_t)count) what = "contains a NUL";
        else if ((variable = parse(line, &what)) != NULL) take(context, variable);
    }
    /* What is in there may be secret. */
    if (line) explicit_bzero(line, size);
    free(line);
    fclose(file);
    if (!what) return 0;
    snprintf(problem, problem_size, "line %u %s", number, what);
    return -1;
}
