/* swiftgi_launch.h: starts applications as servers of their own: what swiftgi-run
 * and executables in Swift share. */
#ifndef SWIFTGI_LAUNCH_H
#define SWIFTGI_LAUNCH_H

#ifdef __cplusplus
extern "C" {
#endif

/* Runs an application as the arguments, the environment or descriptor 0 say, and
 * returns the status for exit() when it has ended. Called in a process that has
 * only one thread, before any code of the application's has run: it may fork.
 *
 * `table` is the application's `const swiftgi_application_table *`, or NULL if the
 * first operand of the arguments names a library to load. Usage and errors go to
 * standard error. */
int swiftgi_launch(int argc, char *const argv[], const void *table);

#ifdef __cplusplus
}
#endif

#endif /* SWIFTGI_LAUNCH_H */
