/* A plugin of QEMU (7.2 to 8) that counts the instructions of a program and
   writes the count to stderr when it ends. The declarations are those that it
   needs of QEMU's plugin interface, version 1. */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

typedef uint64_t PluginId;
struct qemu_plugin_tb;

void qemu_plugin_register_vcpu_tb_trans_cb(
    PluginId id, void (*translated)(PluginId, struct qemu_plugin_tb*));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb* block,
                                          void (*executed)(unsigned cpu,
                                                           void* data),
                                          int registers, void* data);
void qemu_plugin_register_atexit_cb(PluginId id, void (*ended)(PluginId, void*),
                                    void* data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb* block);

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

static uint64_t count;

static void executed(unsigned cpu, void* instructions) {
  (void)cpu;
  count += (uintptr_t)instructions;
}

/* No register is read or written. */
static void translated(PluginId id, struct qemu_plugin_tb* block) {
  (void)id;
  qemu_plugin_register_vcpu_tb_exec_cb(block, executed, 0,
                                       (void*)qemu_plugin_tb_n_insns(block));
}

static void ended(PluginId id, void* data) {
  (void)id;
  (void)data;
  fprintf(stderr, "instructions: %" PRIu64 "\n", count);
}

__attribute__((visibility("default"))) int qemu_plugin_install(PluginId id,
                                                               const void* info,
                                                               int argc,
                                                               char** argv) {
  (void)info;
  (void)argc;
  (void)argv;
  qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
  qemu_plugin_register_atexit_cb(id, ended, NULL);
  return 0;
}
