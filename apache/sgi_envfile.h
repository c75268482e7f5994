/* sgi_envfile.h: files of environment variables, for env-file=. The supervisor is built
 * with it, too. */
#ifndef SGI_ENVFILE_H
#define SGI_ENVFILE_H

#include <stddef.h>

/* Whether this is a name for a variable: letters, digits and _, no digit at first. */
int sgi_envfile_is_name(const char *name, size_t length);

/* Reads a file of lines NAME=value, in which empty lines and those that begin with # count
 * for nothing and the value may be in quotation marks, ' or ". Calls `take` with each
 * NAME=value, whose memory is taken back afterwards. Returns 0, or -1 with the reason in
 * `problem`. */
int sgi_envfile_read(const char *path, void (*take)(void *context, const char *variable),
                     void *context, char *problem, size_t problem_size);

#endif /* SGI_ENVFILE_H */
