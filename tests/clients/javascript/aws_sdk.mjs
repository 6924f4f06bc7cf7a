// Drives an S3 server with the AWS SDK for JavaScript, version 3: settings from the environment, typed errors, uploads of
// streams in parts, presigned URLs. Takes the name of a bucket that does not exist; leaves nothing behind.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { Readable } from "node:stream";

import * as sdk from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";

const MIB = 1 << 20;
const Bucket = process.argv[2];
const s3 = new sdk.S3Client({ forcePathStyle: true, maxAttempts: 1 });

/** Bytes that repeat at no small distance. */
function pattern(size) {
  const body = Buffer.alloc(size);
  for (let i = 0, at = 0; at < size; i++) {
    at += createHash("sha256").update(`${i}`).digest().copy(body, at);
  }
  return body;
}

async function bytesOf(output) {
  return Buffer.from(await output.Body.transformToByteArray());
}

const get = async (Key, more = {}) => bytesOf(await s3.send(new sdk.GetObjectCommand({ Bucket, Key, ...more })));
const put = (Key, Body, more = {}) => s3.send(new sdk.PutObjectCommand({ Bucket, Key, Body, ...more }));

async function objects() {
  const body = pattern(300_000);
  const Key = "folder/one ü+(*)'!";
  const sent = await put(Key, body, { Metadata: { colour: "blue" }, ContentType: "text/x-test", Tagging: "kind=test" });
  const got = await s3.send(new sdk.GetObjectCommand({ Bucket, Key }));
  assert.equal(got.ETag, sent.ETag);
  assert.deepEqual(got.Metadata, { colour: "blue" });
  assert.equal(got.ContentType, "text/x-test");
  assert.ok((await bytesOf(got)).equals(body));
  assert.ok((await get(Key, { Range: "bytes=5-104" })).equals(body.subarray(5, 105)));
  await s3.send(new sdk.CopyObjectCommand({ Bucket, Key: "copy", CopySource: encodeURI(`${Bucket}/${Key}`).replace("+", "%2B") }));
  assert.ok((await get("copy")).equals(body));
  const { TagSet } = await s3.send(new sdk.GetObjectTaggingCommand({ Bucket, Key: "copy" }));
  assert.deepEqual(TagSet, [{ Key: "kind", Value: "test" }]);
}

/** Every algorithm that needs no native code, over bytes and over a stream whose sum follows it. */
async function checksums() {
  const body = pattern(200_000);
  for (const ChecksumAlgorithm of ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"]) {
    await put(`sum-${ChecksumAlgorithm}`, body, { ChecksumAlgorithm });
    assert.ok((await get(`sum-${ChecksumAlgorithm}`, { ChecksumMode: "ENABLED" })).equals(body));
    await put(`stream-${ChecksumAlgorithm}`, Readable.from(chunked(body, 70_001)), { ChecksumAlgorithm, ContentLength: body.length });
    assert.ok((await get(`stream-${ChecksumAlgorithm}`, { ChecksumMode: "ENABLED" })).equals(body));
  }
}

function* chunked(body, size) {
  for (let at = 0; at < body.length; at += size) yield body.subarray(at, at + size);
}

async function uploads() {
  const body = pattern(12 * MIB + 1);
  const params = { Bucket, Key: "large", Body: Readable.from(chunked(body, MIB)), ChecksumAlgorithm: "SHA256" };
  const done = await new Upload({ client: s3, params, partSize: 5 * MIB, queueSize: 3 }).done();
  assert.match(done.ETag, /-3"$/);
  assert.ok((await get("large")).equals(body));
  const second = await s3.send(new sdk.GetObjectCommand({ Bucket, Key: "large", PartNumber: 2 }));
  assert.equal(second.PartsCount, 3);
  assert.ok((await bytesOf(second)).equals(body.subarray(5 * MIB, 10 * MIB)));
  const begun = await s3.send(new sdk.CreateMultipartUploadCommand({ Bucket, Key: "begun" }));
  const open = await s3.send(new sdk.ListMultipartUploadsCommand({ Bucket }));
  assert.deepEqual(open.Uploads.map((upload) => upload.Key), ["begun"]);
  await s3.send(new sdk.AbortMultipartUploadCommand({ Bucket, Key: "begun", UploadId: begun.UploadId }));
}

async function presigned() {
  const body = pattern(1000);
  const Key = "signed & sent";
  const up = await fetch(await getSignedUrl(s3, new sdk.PutObjectCommand({ Bucket, Key })), { method: "PUT", body });
  assert.equal(up.status, 200, await up.text());
  const down = await fetch(await getSignedUrl(s3, new sdk.GetObjectCommand({ Bucket, Key }), { expiresIn: 60 }));
  assert.equal(down.status, 200);
  assert.ok(Buffer.from(await down.arrayBuffer()).equals(body));
}

async function listings() {
  const keys = ["list/a b", "list/a&b", "list/d/1", "list/d/2", "list/é", "list/z%"];
  await Promise.all(keys.map((key) => put(key, "")));
  const found = [];
  const query = { Bucket, Prefix: "list/", Delimiter: "/", MaxKeys: 2 };
  for await (const page of sdk.paginateListObjectsV2({ client: s3 }, query)) {
    found.push(...(page.Contents ?? []).map((entry) => entry.Key));
    found.push(...(page.CommonPrefixes ?? []).map((entry) => entry.Prefix));
  }
  assert.deepEqual(found.sort(), ["list/a b", "list/a&b", "list/d/", "list/z%", "list/é"]);
}

async function versions() {
  const VersioningConfiguration = { Status: "Enabled" };
  await s3.send(new sdk.PutBucketVersioningCommand({ Bucket, VersioningConfiguration }));
  const { VersionId } = await put("versioned", "1");
  await put("versioned", "2");
  const gone = await s3.send(new sdk.DeleteObjectCommand({ Bucket, Key: "versioned" }));
  assert.equal(gone.DeleteMarker, true);
  assert.equal((await get("versioned", { VersionId })).toString(), "1");
}

/** The SDK makes classes of errors from the codes. */
async function errors() {
  await assert.rejects(get("nowhere"), sdk.NoSuchKey);
  await assert.rejects(s3.send(new sdk.HeadObjectCommand({ Bucket, Key: "nowhere" })), sdk.NotFound);
  await assert.rejects(s3.send(new sdk.ListObjectsV2Command({ Bucket: "no-such-bucket-at-all" })), sdk.NoSuchBucket);
  await assert.rejects(put("copy", "", { IfNoneMatch: "*" }), { name: "PreconditionFailed" });
  await assert.rejects(s3.send(new sdk.DeleteBucketCommand({ Bucket })), { name: "BucketNotEmpty" });
}

async function empty() {
  for (let page = {}, more = true; more; more = page.IsTruncated) {
    const { NextKeyMarker: KeyMarker, NextVersionIdMarker: VersionIdMarker } = page;
    page = await s3.send(new sdk.ListObjectVersionsCommand({ Bucket, MaxKeys: 7, KeyMarker, VersionIdMarker }));
    const doomed = [...(page.Versions ?? []), ...(page.DeleteMarkers ?? [])];
    const Objects = doomed.map(({ Key, VersionId }) => ({ Key, VersionId }));
    const done = await s3.send(new sdk.DeleteObjectsCommand({ Bucket, Delete: { Objects } }));
    assert.equal(done.Errors, undefined);
  }
  await s3.send(new sdk.DeleteBucketCommand({ Bucket }));
}

await s3.send(new sdk.CreateBucketCommand({ Bucket }));
await sdk.waitUntilBucketExists({ client: s3, maxWaitTime: 10 }, { Bucket });
for (const part of [objects, checksums, uploads, presigned, listings, versions, errors, empty]) await part();
