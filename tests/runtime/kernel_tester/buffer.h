// Memory that shows where a kernel leaves it.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>

namespace aqe {

// Memory with an end: AddressSanitizer sees every access beyond it; without
// that, at the next multiple of 64 bytes pages begin that cannot be accessed.
class Buffer {
 public:
  Buffer(size_t bytes, int fill) : size_(bytes) {
#if defined(__SANITIZE_ADDRESS__)
    if (posix_memalign(&data_, kAlignment, std::max<size_t>(bytes, 1)) != 0)
      std::abort();
#else
    const size_t usable = round_up(bytes, sysconf(_SC_PAGESIZE));
    mapped_ = usable + kBeyond;
    pages_ =
        mmap(nullptr, mapped_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    // QEMU fails to protect no pages at all.
    if (pages_ == MAP_FAILED ||
        (usable > 0 && mprotect(pages_, usable, PROT_READ | PROT_WRITE) != 0))
      std::abort();
    data_ = static_cast<char*>(pages_) + usable - round_up(bytes, kAlignment);
#endif
    std::memset(data_, fill, bytes);
  }
  ~Buffer() {
#if defined(__SANITIZE_ADDRESS__)
    std::free(data_);
#else
    munmap(pages_, mapped_);
#endif
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  void* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  static constexpr size_t kAlignment = 64, kBeyond = 1 << 20;

  static size_t round_up(size_t value, size_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
  }

  size_t size_;
  void* data_ = nullptr;
  void* pages_ = nullptr;
  size_t mapped_ = 0;
};

}  // namespace aqe
