/* A libnvidia-ml.so.1 for machines without a GPU: the functions that Forebay calls through pynvml, answering as
 * NVIDIA's header (nvml.h) says. It plays the scenario in the file `scenario` beside it, read anew at every call, a key
 * and a value a line; nvml.py says which keys there are. A key that is missing is NOT_SUPPORTED. A value may also be
 * `error N`, with one of nvml.h's codes; `hang`: the call never returns; or `crash`: it takes its process along. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NO_PERMISSION = 4, INSUFFICIENT_SIZE = 7,
    DRIVER_NOT_LOADED = 9, TIMEOUT = 10, GPU_IS_LOST = 15, MAX_GPUS = 16, MAX_EVENTS = 64
};

typedef struct { unsigned long long total, free, used; } memory_t;
typedef struct { unsigned gpu, memory; } utilization_t;
typedef struct { unsigned pid; unsigned long long memory; unsigned gi, ci; } process_t;
typedef struct { void *device; unsigned long long type, data; unsigned gi, ci; } event_t;

/* The value of a key, as text. */
static int value(const char *key, char *text, size_t room)
{
    Dl_info here;
    char path[4096], line[4096], *end;
    FILE *file;
    int found = NOT_SUPPORTED;
    dladdr((void *)value, &here);
    strncpy(path, here.dli_fname, sizeof path - 1);
    path[sizeof path - 1] = 0;
    end = strrchr(path, '/');
    strcpy(end ? end + 1 : path, "scenario");
    file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        end = strchr(line, ' ');
        if (!end)
            continue;
        *end++ = 0;
        if (strcmp(line, key) == 0) {
            strncpy(text, end, room - 1);
            text[room - 1] = 0;
            found = SUCCESS;
            break;
        }
    }
    if (file)
        fclose(file);
    if (found != SUCCESS)
        return found;
    if (strcmp(text, "hang") == 0)
        for (;;)
            pause();
    if (strcmp(text, "crash") == 0)
        raise(SIGSEGV);
    return strncmp(text, "error ", 6) == 0 ? atoi(text + 6) : SUCCESS;
}

static int number(const char *key, unsigned long long *found)
{
    char text[4096];
    int code = value(key, text, sizeof text);
    if (code == SUCCESS)
        *found = strtoull(text, NULL, 0);
    return code;
}

/* The key of a GPU: its index, which its handle tells, and a name. A GPU that is lost answers nothing. */
static int of_gpu(void *device, const char *name, char *text, size_t room)
{
    char key[128];
    int index = (int)(size_t)device - 1, code;
    snprintf(key, sizeof key, "%d.lost", index);
    code = value(key, text, room);
    if (code != NOT_SUPPORTED)
        return GPU_IS_LOST;
    snprintf(key, sizeof key, "%d.%s", index, name);
    return value(key, text, room);
}

static int figure(void *device, const char *name, unsigned *found)
{
    char text[4096];
    int code = of_gpu(device, name, text, sizeof text);
    if (code == SUCCESS)
        *found = (unsigned)strtoul(text, NULL, 0);
    return code;
}

static int large(void *device, const char *name, unsigned long long *found)
{
    char text[4096];
    int code = of_gpu(device, name, text, sizeof text);
    if (code == SUCCESS)
        *found = strtoull(text, NULL, 0);
    return code;
}

int nvmlInitWithFlags(unsigned flags)
{
    char text[64];
    int code = value("init", text, sizeof text);
    (void)flags;
    return code == NOT_SUPPORTED ? SUCCESS : code;
}

int nvmlShutdown(void) { return SUCCESS; }

const char *nvmlErrorString(int code)
{
    switch (code) {
    case SUCCESS: return "Success";
    case NOT_SUPPORTED: return "Not Supported";
    case NO_PERMISSION: return "Insufficient Permissions";
    case DRIVER_NOT_LOADED: return "Driver Not Loaded";
    case TIMEOUT: return "Timeout";
    case GPU_IS_LOST: return "GPU is lost";
    default: return "Unknown Error";
    }
}

int nvmlSystemGetDriverVersion(char *version, unsigned length) { return value("driver", version, length); }

int nvmlDeviceGetCount_v2(unsigned *count)
{
    unsigned long long found = 0;
    int code = number("count", &found);
    *count = (unsigned)found;
    return code;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device)
{
    unsigned count = 0;
    nvmlDeviceGetCount_v2(&count);
    if (index >= count)
        return INVALID_ARGUMENT;
    *device = (void *)(size_t)(index + 1);
    return SUCCESS;
}

int nvmlDeviceGetName(void *device, char *name, unsigned length) { return of_gpu(device, "name", name, length); }
int nvmlDeviceGetUUID(void *device, char *uuid, unsigned length) { return of_gpu(device, "uuid", uuid, length); }

int nvmlDeviceGetMemoryInfo(void *device, memory_t *memory)
{
    int code = large(device, "memory_total", &memory->total);
    if (code == SUCCESS)
        code = large(device, "memory_used", &memory->used);
    memory->free = memory->total - memory->used;
    return code;
}

int nvmlDeviceGetUtilizationRates(void *device, utilization_t *rates)
{
    rates->memory = 0;
    return figure(device, "utilization", &rates->gpu);
}

/* "PID:BYTES PID:BYTES" */
int nvmlDeviceGetComputeRunningProcesses_v3(void *device, unsigned *count, process_t *found)
{
    char text[4096], *rest = text, *word;
    unsigned room = *count;
    int code = of_gpu(device, "processes", text, sizeof text);
    if (code != SUCCESS)
        return code;
    *count = 0;
    while ((word = strtok_r(rest, " ", &rest)) != NULL) {
        if (*count < room && found) {
            memset(&found[*count], 0, sizeof *found);
            found[*count].pid = (unsigned)strtoul(word, &word, 10);
            found[*count].memory = strtoull(word + 1, NULL, 10);
        }
        ++*count;
    }
    return *count > room ? INSUFFICIENT_SIZE : SUCCESS;
}

int nvmlDeviceGetCurrentClocksEventReasons(void *device, unsigned long long *reasons)
{
    return large(device, "clock_reasons", reasons);
}

int nvmlDeviceGetCurrentClocksThrottleReasons(void *device, unsigned long long *reasons)
{
    return large(device, "throttle_reasons", reasons);
}

int nvmlDeviceGetClockInfo(void *device, int type, unsigned *clock)
{
    return figure(device, type == 1 ? "sm_clock" : "memory_clock", clock);
}

int nvmlDeviceGetMaxClockInfo(void *device, int type, unsigned *clock)
{
    return type == 1 ? figure(device, "sm_clock_max", clock) : NOT_SUPPORTED;
}

int nvmlDeviceGetTemperature(void *device, int sensor, unsigned *degrees)
{
    (void)sensor;
    return figure(device, "temperature", degrees);
}

int nvmlDeviceGetPowerUsage(void *device, unsigned *milliwatts) { return figure(device, "power", milliwatts); }
int nvmlDeviceGetEnforcedPowerLimit(void *device, unsigned *limit) { return figure(device, "power_limit", limit); }

int nvmlDeviceGetTotalEccErrors(void *device, int type, int counter, unsigned long long *count)
{
    return type == 1 && counter == 0 ? large(device, "ecc_uncorrected", count) : NOT_SUPPORTED;
}

int nvmlDeviceGetRemappedRows(void *device, unsigned *fine, unsigned *bad, unsigned *pending, unsigned *failure)
{
    int code = figure(device, "remap_pending", pending);
    *fine = *bad = 0;
    return code == SUCCESS ? figure(device, "remap_failed", failure) : code;
}

int nvmlEventSetCreate(void **set)
{
    *set = (void *)1;
    return SUCCESS;
}

int nvmlDeviceRegisterEvents(void *device, unsigned long long types, void *set)
{
    char text[64];
    int code = of_gpu(device, "events", text, sizeof text);
    (void)types, (void)set;
    return code;
}

/* `event N` is "INDEX XID", for N from 0; each is told once. */
int nvmlEventSetWait_v2(void *set, event_t *event, unsigned milliseconds)
{
    static int told;
    char key[32], text[64], *rest;
    (void)set;
    snprintf(key, sizeof key, "event%d", told);
    if (told < MAX_EVENTS && value(key, text, sizeof text) == SUCCESS) {
        memset(event, 0, sizeof *event);
        event->device = (void *)(strtoul(text, &rest, 10) + 1);
        event->type = 8;
        event->data = strtoull(rest, NULL, 10);
        ++told;
        return SUCCESS;
    }
    usleep(milliseconds * 1000);
    return TIMEOUT;
}
