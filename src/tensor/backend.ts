/** The devices that graphs run on, for the layers above, which do not import the engine. */

export { listDevices, openBackend, type Backend, type BackendOptions, type Lane } from "../engine/backend.ts";
export { engineLibrary, engineVersion } from "../engine/library.ts";
export { setNativeLogger, type NativeLogger } from "../engine/log.ts";
