// Drives an S3 server with minio-js as its users do. Takes the name of a bucket that does not exist; leaves nothing behind.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";

import { Client, CopyDestinationOptions, CopySourceOptions } from "minio";

const MIB = 1 << 20;
const bucket = process.argv[2];
const address = new URL(process.env.AWS_ENDPOINT_URL);
const client = new Client({
  endPoint: address.hostname,
  port: Number(address.port),
  useSSL: address.protocol === "https:",
  accessKey: process.env.AWS_ACCESS_KEY_ID,
  secretKey: process.env.AWS_SECRET_ACCESS_KEY,
  partSize: 5 * MIB,
});

/** Bytes that repeat at no small distance. */
function pattern(size) {
  const body = Buffer.alloc(size);
  for (let i = 0, at = 0; at < size; i++) {
    at += createHash("sha256").update(`${i}`).digest().copy(body, at);
  }
  return body;
}

const get = async (key, options) => buffer(await client.getObject(bucket, key, options));

async function objects() {
  const body = pattern(300_000);
  const key = "folder/one ü"; // no plus: minio-js does not encode it in the name of a copy's source, where it means a space
  const { etag } = await client.putObject(bucket, key, body, body.length, { "Content-Type": "text/x-test", "x-amz-meta-colour": "blue" });
  assert.ok((await get(key)).equals(body));
  const stat = await client.statObject(bucket, key);
  assert.equal(stat.size, body.length);
  assert.equal(stat.etag, etag);
  assert.equal(stat.metaData.colour, "blue");
  assert.equal(stat.metaData["content-type"], "text/x-test");
  assert.ok((await buffer(await client.getPartialObject(bucket, key, 5, 100))).equals(body.subarray(5, 105)));
  await client.copyObject(new CopySourceOptions({ Bucket: bucket, Object: key }), new CopyDestinationOptions({ Bucket: bucket, Object: "copy" }));
  assert.ok((await get("copy")).equals(body));
  await client.setObjectTagging(bucket, "copy", { kind: "test" });
  assert.deepEqual((await client.getObjectTagging(bucket, "copy")).flat(), [{ Key: "kind", Value: "test" }]);
}

/** Parts of a file, of a stream of unknown length, and of objects that exist. */
async function multipart() {
  const body = pattern(12 * MIB + 1);
  await writeFile("large", body);
  await client.fPutObject(bucket, "large", "large");
  await client.fGetObject(bucket, "large", "back");
  assert.ok((await readFile("back")).equals(body));
  await client.putObject(bucket, "stream", Readable.from([body.subarray(0, 7 * MIB), body.subarray(7 * MIB)]));
  assert.ok((await get("stream")).equals(body));
  const sources = ["large", "copy"].map((Object) => new CopySourceOptions({ Bucket: bucket, Object }));
  await client.composeObject(new CopyDestinationOptions({ Bucket: bucket, Object: "composed" }), sources);
  assert.ok((await get("composed")).equals(Buffer.concat([body, await get("copy")])));
}

async function presigned() {
  const body = pattern(1000);
  const up = await fetch(await client.presignedPutObject(bucket, "signed", 60), { method: "PUT", body });
  assert.equal(up.status, 200, await up.text());
  const down = await fetch(await client.presignedGetObject(bucket, "signed", 60));
  assert.ok(Buffer.from(await down.arrayBuffer()).equals(body));
}

async function listings() {
  const keys = ["list/a b", "list/a&b", "list/d/1", "list/é", "list/z%"];
  await Promise.all(keys.map((key) => client.putObject(bucket, key, "x")));
  const found = [];
  for await (const entry of client.listObjectsV2(bucket, "list/", true)) found.push(entry.name);
  assert.deepEqual(found, ["list/a b", "list/a&b", "list/d/1", "list/z%", "list/é"]);
  const top = [];
  for await (const entry of client.listObjects(bucket, "list/", false)) top.push(entry.name ?? entry.prefix);
  assert.ok(top.includes("list/d/") && !top.includes("list/d/1"));
}

async function versions() {
  await client.setBucketVersioning(bucket, { Status: "Enabled" });
  const { versionId } = await client.putObject(bucket, "versioned", "1");
  await client.putObject(bucket, "versioned", "2");
  await client.removeObject(bucket, "versioned");
  assert.equal((await get("versioned", { versionId })).toString(), "1");
}

async function errors() {
  await assert.rejects(get("nowhere"), { code: "NoSuchKey" });
  await assert.rejects(client.statObject(bucket, "nowhere"), { code: "NotFound" });
  assert.equal(await client.bucketExists("no-such-bucket-at-all"), false);
  await assert.rejects(client.removeBucket(bucket), { code: "BucketNotEmpty" });
}

async function empty() {
  const doomed = [];
  for await (const entry of client.listObjects(bucket, "", true, { IncludeVersion: true })) {
    doomed.push({ name: entry.name, versionId: entry.versionId });
  }
  await client.removeObjects(bucket, doomed);
  await client.removeBucket(bucket);
}

await client.makeBucket(bucket, "us-east-1");
assert.equal(await client.bucketExists(bucket), true);
for (const part of [objects, multipart, presigned, listings, versions, errors, empty]) await part();
