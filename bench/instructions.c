/*
 * A plugin for qemu-user (up to version 8; no header of qemu is needed) that counts instructions by function and prints
 * "NAME COUNT" lines at the end, to standard error. Written for and compiled by instructions.py.
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { most_functions = 8192, runs_without_registers = 0 };

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;

extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct qemu_plugin_tb *));
extern void qemu_plugin_register_atexit_cb(plugin_id, void (*)(plugin_id, void *), void *);
extern void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, void (*)(unsigned, void *), int, void *);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
extern const char *qemu_plugin_insn_symbol(const struct qemu_plugin_insn *);

int qemu_plugin_version = 1;
int qemu_plugin_install(plugin_id id, const void *info, int count, char **words);

typedef struct {
    char *name;
    uint64_t count;
} function;

typedef struct {
    function *of;
    uint64_t instructions;
} block;

static function functions[most_functions];
static size_t found;

static function *function_of(const char *name)
{
    for (size_t i = 0; i < found; i++)
        if (strcmp(functions[i].name, name) == 0)
            return &functions[i];
    if (found == most_functions)
        return &functions[most_functions - 1];
    functions[found].name = strdup(name);
    return &functions[found++];
}

static void execute(unsigned cpu, void *argument)
{
    (void)cpu;
    block *b = argument;
    b->of->count += b->instructions;
}

static void translate(plugin_id id, struct qemu_plugin_tb *tb)
{
    (void)id;
    const char *name = qemu_plugin_insn_symbol(qemu_plugin_tb_get_insn(tb, 0));
    block *b = malloc(sizeof *b);
    if (b == NULL)
        abort();
    *b = (block){function_of(name != NULL ? name : "?"), qemu_plugin_tb_n_insns(tb)};
    qemu_plugin_register_vcpu_tb_exec_cb(tb, execute, runs_without_registers, b);
}

static void finish(plugin_id id, void *argument)
{
    (void)id, (void)argument;
    for (size_t i = 0; i < found; i++)
        if (functions[i].count > 0)
            fprintf(stderr, "%s %" PRIu64 "\n", functions[i].name, functions[i].count);
}

int qemu_plugin_install(plugin_id id, const void *info, int count, char **words)
{
    (void)info, (void)count, (void)words;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
    qemu_plugin_register_atexit_cb(id, finish, NULL);
    return 0;
}
