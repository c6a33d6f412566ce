// An OPC UA server on node-opcua, for tests/peers: not written by us, not asyncua.
//
//     node opcua_server.js PORT PKI_FOLDER [POINTS] [PERIOD_MS]      (loopback only)
//
// Prints one line of JSON, {"endpoint": ..., "namespace": ...}, when it serves, and ends on
// SIGTERM. Anonymous users and user "operator" with password "steam" may log on; policies
// None, Basic256Sha256, Aes128_Sha256_RsaOaep and Aes256_Sha256_RsaPss are offered.
//
// Objects/Plant holds, in the namespace told:
//   s=Ramp0 .. s=Ramp<POINTS-1>   Double: i / 2 + k, where k grows by one each PERIOD_MS,
//                                 with the source time of the change. Ramp1 is always
//                                 UncertainLastUsableValue, Ramp2 always BadSensorFailure.
//   s=Boolean, s=SByte .. s=UInt64, s=Float, s=Double, s=String, s=DateTime
//                                 one constant of each type (see CONSTANTS), writable.
"use strict";

console.log = console.error; // the library logs to stdout, which is ours for the one line
// Debian 12 has Node.js 18, which keeps this in a module; the library looks for the global.
globalThis.crypto ??= require("node:crypto").webcrypto;

const {
  DataType, MessageSecurityMode, OPCUACertificateManager, OPCUAServer, SecurityPolicy, StatusCodes,
  VariantArrayType,
} = require("node-opcua");

const CONSTANTS = {
  Boolean: true,
  SByte: -128,
  Byte: 255,
  Int16: -32768,
  UInt16: 65535,
  Int32: -2147483648,
  UInt32: 4294967295,
  Int64: [0x80000000, 0],           // node-opcua writes 64 bits as [high, low]: -2^63
  UInt64: [0xffffffff, 0xffffffff], // 2^64 - 1
  Float: 0.1,
  Double: -0.1,
  String: "锅炉 boiler",
  DateTime: new Date("2026-01-02T03:04:05.678Z"),
};
const STATUS_OF_RAMP = { 1: StatusCodes.UncertainLastUsableValue, 2: StatusCodes.BadSensorFailure };

function addRamps(namespace, plant, points, periodMs) {
  const ramps = Array.from({ length: points }, (_, i) => namespace.addVariable({
    componentOf: plant, browseName: `Ramp${i}`, nodeId: `s=Ramp${i}`, dataType: "Double",
    minimumSamplingInterval: 10, value: { dataType: DataType.Double, value: i / 2 },
  }));
  let k = 0;
  const step = () => {
    const now = new Date();
    ramps.forEach((ramp, i) => ramp.setValueFromSource(
      { dataType: DataType.Double, value: i / 2 + k }, STATUS_OF_RAMP[i] ?? StatusCodes.Good, now));
    k += 1;
  };
  step();
  return setInterval(step, periodMs);
}

function addConstants(namespace, plant) {
  for (const [type, value] of Object.entries(CONSTANTS)) {
    const variable = namespace.addVariable({
      componentOf: plant, browseName: type, nodeId: `s=${type}`, dataType: type,
      accessLevel: "CurrentRead | CurrentWrite",
    });
    variable.setValueFromSource({ dataType: DataType[type], arrayType: VariantArrayType.Scalar, value });
  }
}

async function main(port, pkiFolder, points = 100, periodMs = 100) {
  const certificates = new OPCUACertificateManager({
    rootFolder: pkiFolder, automaticallyAcceptUnknownCertificate: true,
  });
  await certificates.initialize();
  const server = new OPCUAServer({
    host: "127.0.0.1", hostname: "127.0.0.1", port, resourcePath: "/plant",
    allowAnonymous: true, disableDiscovery: true, maxConnectionsPerEndpoint: 100,
    // Sessions of connections that tests cut live on until they time out.
    serverCapabilities: { maxSessions: 100 },
    serverCertificateManager: certificates,
    userManager: { isValidUser: (user, password) => user === "operator" && password === "steam" },
    securityModes: [MessageSecurityMode.None, MessageSecurityMode.Sign, MessageSecurityMode.SignAndEncrypt],
    securityPolicies: [
      SecurityPolicy.None, SecurityPolicy.Basic256Sha256,
      SecurityPolicy.Aes128_Sha256_RsaOaep, SecurityPolicy.Aes256_Sha256_RsaPss,
    ],
  });
  await server.initialize();
  const namespace = server.engine.addressSpace.getOwnNamespace();
  const plant = namespace.addFolder("ObjectsFolder", { browseName: "Plant", nodeId: "s=Plant" });
  addConstants(namespace, plant);
  const ramping = addRamps(namespace, plant, points, periodMs);
  await server.start();
  process.stdout.write(`${JSON.stringify({ endpoint: server.getEndpointUrl(), namespace: namespace.index })}\n`);
  const stop = async () => {
    clearInterval(ramping);
    await server.shutdown(0);
    process.exit(0);
  };
  process.once("SIGTERM", stop);
  process.once("SIGINT", stop);
}

const [port, pkiFolder, ...counts] = process.argv.slice(2);
if (!port || !pkiFolder) {
  console.error("usage: node opcua_server.js PORT PKI_FOLDER [POINTS] [PERIOD_MS]");
  process.exit(2);
}
main(Number(port), pkiFolder, ...counts.map(Number)).catch((error) => {
  console.error(error);
  process.exit(1);
});
