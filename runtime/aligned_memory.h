// Memory for kernels, aligned as they want it, with nothing in it.
#pragma once

#include <cstddef>
#include <memory>
#include <new>

namespace aqe {

constexpr std::align_val_t kKernelAlignment{64};

struct DeleteAligned {
  void operator()(char* data) const {
    ::operator delete(data, kKernelAlignment);
  }
};
using AlignedMemory = std::unique_ptr<char, DeleteAligned>;

// Throws std::bad_alloc.
inline AlignedMemory allocate_aligned(size_t bytes) {
  return AlignedMemory(
      static_cast<char*>(::operator new(bytes, kKernelAlignment)));
}

}  // namespace aqe
