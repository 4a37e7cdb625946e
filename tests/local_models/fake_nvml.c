/* A libnvidia-ml.so.1 for machines without a GPU: the functions that Forebay calls through pynvml, answering as
 * NVIDIA's header (nvml.h) says. FAKE_NVML names the scenario: unloaded, empty, two, lost, shared. */
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, DRIVER_NOT_LOADED = 9, GPU_IS_LOST = 15 };

typedef struct { unsigned long long total, free, used; } memory_t;

static int scenario(const char *name)
{
    const char *wanted = getenv("FAKE_NVML");
    return wanted && strcmp(wanted, name) == 0;
}

int nvmlInit_v2(void) { return scenario("unloaded") ? DRIVER_NOT_LOADED : SUCCESS; }
int nvmlInitWithFlags(unsigned flags) { (void)flags; return nvmlInit_v2(); }
int nvmlShutdown(void) { return SUCCESS; }

const char *nvmlErrorString(int code)
{
    switch (code) {
    case SUCCESS: return "Success";
    case NOT_SUPPORTED: return "Not Supported";
    case DRIVER_NOT_LOADED: return "Driver Not Loaded";
    case GPU_IS_LOST: return "GPU is lost";
    default: return "Unknown Error";
    }
}

int nvmlSystemGetDriverVersion(char *version, unsigned length)
{
    strncpy(version, "580.65.06", length);
    return SUCCESS;
}

int nvmlDeviceGetCount_v2(unsigned *count)
{
    *count = scenario("empty") ? 0 : 2;
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device)
{
    if (index > 1)
        return INVALID_ARGUMENT;
    if (index == 1 && scenario("lost"))
        return GPU_IS_LOST;
    *device = (void *)(size_t)(index + 1);
    return SUCCESS;
}

int nvmlDeviceGetName(void *device, char *name, unsigned length)
{
    (void)device;
    strncpy(name, "NVIDIA H200", length);
    return SUCCESS;
}

int nvmlDeviceGetUUID(void *device, char *uuid, unsigned length)
{
    strncpy(uuid, device == (void *)1 ? "GPU-first" : "GPU-second", length);
    return SUCCESS;
}

int nvmlDeviceGetMemoryInfo(void *device, memory_t *memory)
{
    if (scenario("shared"))
        return NOT_SUPPORTED;
    memory->total = 150000000000ULL;
    memory->used = device == (void *)1 ? 1000000000ULL : 0;
    memory->free = memory->total - memory->used;
    return SUCCESS;
}
