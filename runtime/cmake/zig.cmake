# Libraries that run with any glibc from 2.17 on, by the compiler in PyPI's ziglang. The environment variable ZIG is
# its program, and ZIG_TARGET what to build for, as x86_64-linux-gnu.2.17.
set(CMAKE_SYSTEM_NAME Linux)
string(REGEX MATCH "^[^-]*" CMAKE_SYSTEM_PROCESSOR $ENV{ZIG_TARGET})
set(CMAKE_CXX_COMPILER ${CMAKE_CURRENT_LIST_DIR}/zig-c++)
set(CMAKE_CXX_FLAGS_INIT "-target $ENV{ZIG_TARGET}")
if(CMAKE_SYSTEM_PROCESSOR STREQUAL "arm")
  # The first with NEON.
  string(APPEND CMAKE_CXX_FLAGS_INIT " -mcpu=cortex_a8")
endif()
set(CMAKE_SHARED_LINKER_FLAGS_INIT "-s")
# The host's ar need not know objects for other machines.
set(CMAKE_CXX_ARCHIVE_CREATE "$ENV{ZIG} ar qc <TARGET> <OBJECTS>")
set(CMAKE_CXX_ARCHIVE_APPEND "$ENV{ZIG} ar q <TARGET> <OBJECTS>")
set(CMAKE_CXX_ARCHIVE_FINISH "$ENV{ZIG} ranlib <TARGET>")
