/* What a Cortex-M does after its reset: memories as the linker script has them, then main. Text goes
 * to the debugger by semihosting (newlib's rdimon). */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

extern uint32_t stack_end, data_source, data_start, data_end, bss_start, bss_end;
extern void initialise_monitor_handles(void);
int main(int count, char **words);

static void reset(void) {
    static char name[] = "network";
    static char *words[] = {name, NULL};
    memcpy(&data_start, &data_source, (size_t)((char *)&data_end - (char *)&data_start));
    memset(&bss_start, 0, (size_t)((char *)&bss_end - (char *)&bss_start));
    initialise_monitor_handles();
    exit(main(1, words));
}

static void fault(void) {
    abort();
}

/* Of the constructors of C++, which there are none of. */
void _init(void);
void _fini(void);
void _init(void) {}
void _fini(void) {}

typedef void (*handler)(void);

__attribute__((section(".vectors"), used)) static const handler vectors[16] = {
    (handler)(uintptr_t)&stack_end, reset, fault, fault, fault, fault, fault, 0, 0, 0, 0, fault,
    fault, 0, fault, fault,
};
