/* Preloaded, counts the calls of malloc and its kin that come from a range of
   addresses: those of one library, which has its own operator new. */
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* old, size_t size);
void* __libc_memalign(size_t alignment, size_t size);

static uintptr_t first, last;
static atomic_long count;

void malloc_counter_start(uintptr_t begin, uintptr_t end) {
  first = begin;
  last = end;
  count = 0;
}

long malloc_counter_count(void) { return count; }

static void note(void* caller) {
  const uintptr_t at = (uintptr_t)caller;
  if (at >= first && at < last) ++count;
}

#define CALLER __builtin_return_address(0)

void* malloc(size_t size) {
  note(CALLER);
  return __libc_malloc(size);
}

void* calloc(size_t number, size_t size) {
  note(CALLER);
  return __libc_calloc(number, size);
}

void* realloc(void* old, size_t size) {
  note(CALLER);
  return __libc_realloc(old, size);
}

void* memalign(size_t alignment, size_t size) {
  note(CALLER);
  return __libc_memalign(alignment, size);
}

void* aligned_alloc(size_t alignment, size_t size) {
  note(CALLER);
  return __libc_memalign(alignment, size);
}

int posix_memalign(void** to, size_t alignment, size_t size) {
  note(CALLER);
  *to = __libc_memalign(alignment, size);
  return *to == NULL ? 12 : 0;
}
