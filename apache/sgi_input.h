/* sgi_input.h: the body of a request, out of the input filters. */
#ifndef SGI_INPUT_H
#define SGI_INPUT_H

#include "sgi_exchange.h"

/* Registers the filter that keeps input errors from the output. */
void sgi_input_register(void);

/* Member of swiftgi_server. */
swiftgi_status sgi_input_try_read(swiftgi_request *x, void *buffer, size_t capacity,
                                  size_t *count);
swiftgi_status sgi_input_read(swiftgi_request *x, void *buffer, size_t capacity, size_t *count);

#endif /* SGI_INPUT_H */
