/* Counts what is allocated by CPython: https://docs.python.org/3/c-api/memory.html#customize-memory-allocators
   Declares what it takes of Python.h, which a machine need not have. */
#include <stddef.h>

typedef struct {
    void *context;
    void *(*malloc)(void *, size_t);
    void *(*calloc)(void *, size_t, size_t);
    void *(*realloc)(void *, void *, size_t);
    void (*free)(void *, void *);
} Allocator;

void PyMem_GetAllocator(int domain, Allocator *allocator);
void PyMem_SetAllocator(int domain, Allocator *allocator);

/* PYMEM_DOMAIN_MEM and PYMEM_DOMAIN_OBJ. */
enum { FIRST = 1, LAST = 2 };

static Allocator originals[LAST + 1];
static size_t allocations;

static void *counting_malloc(void *original, size_t size) {
    Allocator *allocator = original;
    allocations++;
    return allocator->malloc(allocator->context, size);
}

static void *counting_calloc(void *original, size_t number, size_t size) {
    Allocator *allocator = original;
    allocations++;
    return allocator->calloc(allocator->context, number, size);
}

static void *counting_realloc(void *original, void *block, size_t size) {
    Allocator *allocator = original;
    allocations++;
    return allocator->realloc(allocator->context, block, size);
}

static void plain_free(void *original, void *block) {
    Allocator *allocator = original;
    allocator->free(allocator->context, block);
}

void begin(void) {
    allocations = 0;
    for (int domain = FIRST; domain <= LAST; domain++) {
        PyMem_GetAllocator(domain, &originals[domain]);
        Allocator counting = {
            &originals[domain], counting_malloc, counting_calloc, counting_realloc, plain_free,
        };
        PyMem_SetAllocator(domain, &counting);
    }
}

size_t end(void) {
    for (int domain = FIRST; domain <= LAST; domain++) {
        PyMem_SetAllocator(domain, &originals[domain]);
    }
    return allocations;
}
