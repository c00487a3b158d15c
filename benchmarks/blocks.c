/* A plugin of QEMU (7.2 to 8) that counts how often each block of instructions
   runs: a program's lines "times instructions", the latter as they lie in
   memory, in hexadecimal, are written to the file of its argument out=FILE when
   it ends. The declarations are those that it needs of QEMU's plugin interface,
   version 1. */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t PluginId;
struct qemu_plugin_tb;
struct qemu_plugin_insn;

void qemu_plugin_register_vcpu_tb_trans_cb(
    PluginId id, void (*translated)(PluginId, struct qemu_plugin_tb*));
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb* block,
                                              int operation, void* to,
                                              uint64_t plus);
void qemu_plugin_register_atexit_cb(PluginId id, void (*ended)(PluginId, void*),
                                    void* data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb* block);
struct qemu_plugin_insn* qemu_plugin_tb_get_insn(
    const struct qemu_plugin_tb* block, size_t index);
const void* qemu_plugin_insn_data(const struct qemu_plugin_insn* instruction);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn* instruction);

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

enum { kAdd = 0 };

/* Each translation is one, also of what was translated before. */
struct Block {
  struct Block* next;
  uint64_t times;
  size_t bytes;
  unsigned char instructions[];
};

static struct Block* blocks;
static const char* path;

static void translated(PluginId id, struct qemu_plugin_tb* translation) {
  (void)id;
  const size_t count = qemu_plugin_tb_n_insns(translation);
  size_t bytes = 0;
  for (size_t i = 0; i < count; ++i)
    bytes += qemu_plugin_insn_size(qemu_plugin_tb_get_insn(translation, i));
  struct Block* block = calloc(1, sizeof *block + bytes);
  if (block == NULL) abort();
  for (size_t i = 0; i < count; ++i) {
    const struct qemu_plugin_insn* one =
        qemu_plugin_tb_get_insn(translation, i);
    memcpy(block->instructions + block->bytes, qemu_plugin_insn_data(one),
           qemu_plugin_insn_size(one));
    block->bytes += qemu_plugin_insn_size(one);
  }
  block->next = blocks;
  blocks = block;
  qemu_plugin_register_vcpu_tb_exec_inline(translation, kAdd, &block->times, 1);
}

static void ended(PluginId id, void* data) {
  (void)id;
  (void)data;
  FILE* file = fopen(path, "w");
  if (file == NULL) abort();
  for (const struct Block* block = blocks; block != NULL; block = block->next) {
    if (block->times == 0) continue;
    fprintf(file, "%" PRIu64 " ", block->times);
    for (size_t i = 0; i < block->bytes; ++i)
      fprintf(file, "%02x", block->instructions[i]);
    fprintf(file, "\n");
  }
  fclose(file);
}

__attribute__((visibility("default"))) int qemu_plugin_install(PluginId id,
                                                               const void* info,
                                                               int argc,
                                                               char** argv) {
  (void)info;
  if (argc != 1 || strncmp(argv[0], "out=", 4) != 0) return 1;
  path = strdup(argv[0] + 4);
  qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
  qemu_plugin_register_atexit_cb(id, ended, NULL);
  return 0;
}
