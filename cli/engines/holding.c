/* What holds a process to fewer instructions than its CPU has: answers for cpuid, and samples of what is executed.

   A cpuid (0F A2) that is replaced by ud2 (0F 0B) traps; the handler asks the CPU, takes bits out of the answer and
   goes on behind the instruction. */
#define _GNU_SOURCE
#include <cpuid.h>
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

enum { EAX, EBX, ECX, EDX, REGISTERS, MAX_PLACES = 4096, MAX_ANSWERS = 16, SAMPLING_MICROSECONDS = 1000 };

/* The bits to take out of one answer of cpuid. */
struct hidden {
    uint32_t leaf, subleaf, bits[REGISTERS];
};

static const uint8_t TRAP[2] = {0x0f, 0x0b};
static struct hidden hidden[MAX_ANSWERS];
static uintptr_t places[MAX_PLACES];
static size_t hidden_count, place_count;
static volatile long samples, samples_at;
static uint8_t watched;

static int is_replaced(uintptr_t address)
{
    for (size_t i = 0; i < place_count; i++) {
        if (places[i] == address)
            return 1;
    }
    return 0;
}

static void ask(uint32_t leaf, uint32_t subleaf, uint32_t answer[REGISTERS])
{
    __cpuid_count(leaf, subleaf, answer[EAX], answer[EBX], answer[ECX], answer[EDX]);
    for (size_t i = 0; i < hidden_count; i++) {
        for (int r = 0; r < REGISTERS && hidden[i].leaf == leaf && hidden[i].subleaf == subleaf; r++)
            answer[r] &= ~hidden[i].bits[r];
    }
}

static void on_trap(int number, siginfo_t *unused, void *context)
{
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    uint32_t answer[REGISTERS];
    (void)unused;
    if (!is_replaced((uintptr_t)registers[REG_RIP])) {
        signal(number, SIG_DFL); /* really no instruction: it is met again, and ends the process */
        return;
    }
    ask((uint32_t)registers[REG_RAX], (uint32_t)registers[REG_RCX], answer);
    registers[REG_RAX] = answer[EAX];
    registers[REG_RBX] = answer[EBX];
    registers[REG_RCX] = answer[ECX];
    registers[REG_RDX] = answer[EDX];
    registers[REG_RIP] += sizeof TRAP;
}

static void on_sample(int number, siginfo_t *unused, void *context)
{
    const greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    (void)number;
    (void)unused;
    samples++;
    samples_at += *(const uint8_t *)registers[REG_RIP] == watched;
}

static int handle(int number, void (*handler)(int, siginfo_t *, void *))
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = handler;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    return sigaction(number, &action, NULL) ? errno : 0;
}

/* Answer the replaced instructions from now on without these bits; returns 0 or an error number. */
int edgec_hide(const struct hidden *given, size_t count)
{
    if (count > MAX_ANSWERS)
        return ENOMEM;
    memcpy(hidden, given, count * sizeof *given);
    hidden_count = count;
    return handle(SIGILL, on_trap);
}

/* Replace the cpuid at an address; returns 0 or an error number. */
int edgec_replace(uint8_t *instruction)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *start = instruction - (uintptr_t)instruction % page;
    size_t size = (size_t)(instruction + sizeof TRAP - start);
    if (place_count == MAX_PLACES)
        return ENOMEM;
    if (mprotect(start, size, PROT_READ | PROT_WRITE | PROT_EXEC))
        return errno;
    places[place_count++] = (uintptr_t)instruction;
    memcpy(instruction, TRAP, sizeof TRAP);
    return mprotect(start, size, PROT_READ | PROT_EXEC) ? errno : 0;
}

/* Look from now on, every millisecond of CPU time, whether an instruction with this first byte is next. */
int edgec_watch(int first_byte)
{
    const struct itimerval every = {{0, SAMPLING_MICROSECONDS}, {0, SAMPLING_MICROSECONDS}};
    int error = handle(SIGPROF, on_sample);
    watched = (uint8_t)first_byte;
    samples = samples_at = 0;
    return error ? error : setitimer(ITIMER_PROF, &every, NULL) ? errno : 0;
}

/* Stop looking; writes how many looks met such an instruction and how many there were. */
void edgec_watched(long *met, long *all)
{
    const struct itimerval never = {{0, 0}, {0, 0}};
    setitimer(ITIMER_PROF, &never, NULL);
    *all = samples;
    *met = samples_at;
}
