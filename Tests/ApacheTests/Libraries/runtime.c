/* Stands in for a shared Swift runtime: it has the one function by which a
 * runtime is known. */
void *swift_retain(void *object) { return object; }
