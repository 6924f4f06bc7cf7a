import java.io.ByteArrayInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import software.amazon.awssdk.awscore.retry.AwsRetryStrategy;
import software.amazon.awssdk.core.ResponseBytes;
import software.amazon.awssdk.core.async.AsyncRequestBody;
import software.amazon.awssdk.core.async.AsyncResponseTransformer;
import software.amazon.awssdk.core.sync.RequestBody;
import software.amazon.awssdk.services.s3.S3AsyncClient;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.s3.S3Configuration;
import software.amazon.awssdk.services.s3.model.*;
import software.amazon.awssdk.services.s3.presigner.S3Presigner;

/**
 * Drives an S3 server with the AWS SDK for Java, version 2: settings from the environment, typed errors, presigned URLs,
 * the synchronous client, and the asynchronous one with parts sent side by side. Takes the name of a bucket that does not
 * exist; leaves nothing behind.
 */
public final class Client {
    private static final int MIB = 1 << 20;
    private final String bucket;
    private final S3Client s3;

    private Client(String bucket, S3Client s3) {
        this.bucket = bucket;
        this.s3 = s3;
    }

    public static void main(String[] arguments) throws Exception {
        try (S3Client s3 = S3Client.builder().forcePathStyle(true)
                .overrideConfiguration(o -> o.retryStrategy(AwsRetryStrategy.doNotRetry())).build()) {
            Client client = new Client(arguments[0], s3);
            s3.createBucket(r -> r.bucket(client.bucket));
            s3.waiter().waitUntilBucketExists(r -> r.bucket(client.bucket));
            client.objects();
            client.checksums();
            client.asynchronous();
            client.presigned();
            client.listings();
            client.versions();
            client.errors();
            client.empty();
        }
    }

    private void objects() {
        byte[] body = pattern(300_000);
        String key = "folder/one ü+";
        PutObjectResponse sent = s3.putObject(r -> r.bucket(bucket).key(key).contentType("text/x-test")
                .metadata(Map.of("colour", "blue")).tagging("kind=test"), RequestBody.fromBytes(body));
        ResponseBytes<GetObjectResponse> got = s3.getObjectAsBytes(r -> r.bucket(bucket).key(key));
        same(got.asByteArray(), body, "the object");
        expect(got.response().eTag().equals(sent.eTag()), "the ETag of GET is that of PUT");
        expect(got.response().metadata().equals(Map.of("colour", "blue")), "the metadata");
        expect(got.response().contentType().equals("text/x-test"), "the content type");
        byte[] part = s3.getObjectAsBytes(r -> r.bucket(bucket).key(key).range("bytes=5-104")).asByteArray();
        same(part, Arrays.copyOfRange(body, 5, 105), "the range");
        s3.copyObject(r -> r.sourceBucket(bucket).sourceKey(key).destinationBucket(bucket).destinationKey("copy"));
        same(get("copy"), body, "the copy");
        Tag tag = s3.getObjectTagging(r -> r.bucket(bucket).key("copy")).tagSet().get(0);
        expect(tag.key().equals("kind") && tag.value().equals("test"), "the tags of the copy");
    }

    /** Every algorithm that needs no native code, over a stream whose sum follows it; and a stream of unknown length. */
    private void checksums() {
        byte[] body = pattern(200_000);
        for (ChecksumAlgorithm algorithm : List.of(ChecksumAlgorithm.CRC32, ChecksumAlgorithm.CRC32_C,
                ChecksumAlgorithm.SHA1, ChecksumAlgorithm.SHA256)) {
            s3.putObject(r -> r.bucket(bucket).key("sum-" + algorithm).checksumAlgorithm(algorithm),
                    RequestBody.fromInputStream(new ByteArrayInputStream(body), body.length));
            byte[] back = s3.getObjectAsBytes(r -> r.bucket(bucket).key("sum-" + algorithm)
                    .checksumMode(ChecksumMode.ENABLED)).asByteArray();
            same(back, body, "the object with " + algorithm);
        }
        s3.putObject(r -> r.bucket(bucket).key("unsized"), RequestBody.fromContentProvider(
                () -> new ByteArrayInputStream(body), "application/octet-stream"));
        same(get("unsized"), body, "the object of unknown length");
    }

    /** The asynchronous client cuts a file and a stream of unknown length into parts, and reads in parts. */
    private void asynchronous() throws Exception {
        byte[] body = pattern(12 * MIB + 1);
        Path file = Files.write(Path.of("large"), body);
        try (S3AsyncClient async = S3AsyncClient.builder().forcePathStyle(true).multipartEnabled(true)
                .multipartConfiguration(m -> m.minimumPartSizeInBytes(5L * MIB).thresholdInBytes(6L * MIB)).build()) {
            PutObjectResponse done = async.putObject(r -> r.bucket(bucket).key("large"),
                    AsyncRequestBody.fromFile(file)).join();
            expect(done.eTag().endsWith("-3\""), "three parts: " + done.eTag());
            same(get("large"), body, "the large object");
            var unsized = AsyncRequestBody.forBlockingOutputStream(null);
            CompletableFuture<PutObjectResponse> streamed = async.putObject(r -> r.bucket(bucket).key("stream"), unsized);
            try (var sink = unsized.outputStream()) {
                sink.write(body);
            }
            streamed.join();
            same(get("stream"), body, "the streamed object");
            ResponseBytes<GetObjectResponse> back = async.getObject(r -> r.bucket(bucket).key("large"),
                    AsyncResponseTransformer.toBytes()).join();
            same(back.asByteArray(), body, "the large object read in parts");
            async.copyObject(r -> r.sourceBucket(bucket).sourceKey("large").destinationBucket(bucket)
                    .destinationKey("large-copy")).join();
            same(get("large-copy"), body, "the copy in parts");
        }
    }

    private void presigned() throws Exception {
        byte[] body = pattern(1000);
        HttpClient web = HttpClient.newHttpClient();
        S3Configuration pathStyle = S3Configuration.builder().pathStyleAccessEnabled(true).build();
        try (S3Presigner signer = S3Presigner.builder().serviceConfiguration(pathStyle).build()) {
            URI up = signer.presignPutObject(p -> p.signatureDuration(Duration.ofMinutes(1))
                    .putObjectRequest(r -> r.bucket(bucket).key("signed & sent"))).url().toURI();
            int status = web.send(HttpRequest.newBuilder(up).PUT(HttpRequest.BodyPublishers.ofByteArray(body)).build(),
                    HttpResponse.BodyHandlers.discarding()).statusCode();
            expect(status == 200, "presigned PUT: " + status);
            URI down = signer.presignGetObject(p -> p.signatureDuration(Duration.ofMinutes(1))
                    .getObjectRequest(r -> r.bucket(bucket).key("signed & sent"))).url().toURI();
            same(web.send(HttpRequest.newBuilder(down).build(), HttpResponse.BodyHandlers.ofByteArray()).body(), body,
                    "the presigned object");
        }
    }

    private void listings() {
        for (String key : List.of("list/a b", "list/a&b", "list/d/1", "list/d/2", "list/é", "list/z%")) {
            s3.putObject(r -> r.bucket(bucket).key(key), RequestBody.empty());
        }
        List<String> found = new ArrayList<>();
        for (ListObjectsV2Response page : s3.listObjectsV2Paginator(r -> r.bucket(bucket).prefix("list/")
                .delimiter("/").maxKeys(2))) {
            page.contents().forEach(entry -> found.add(entry.key()));
            page.commonPrefixes().forEach(entry -> found.add(entry.prefix()));
        }
        found.sort(null);
        expect(found.equals(List.of("list/a b", "list/a&b", "list/d/", "list/z%", "list/é")), "the listing: " + found);
    }

    private void versions() {
        s3.putBucketVersioning(r -> r.bucket(bucket).versioningConfiguration(v -> v.status("Enabled")));
        String first = s3.putObject(r -> r.bucket(bucket).key("versioned"), RequestBody.fromString("1")).versionId();
        s3.putObject(r -> r.bucket(bucket).key("versioned"), RequestBody.fromString("2"));
        expect(s3.deleteObject(r -> r.bucket(bucket).key("versioned")).deleteMarker(), "a delete marker");
        String old = s3.getObjectAsBytes(r -> r.bucket(bucket).key("versioned").versionId(first)).asUtf8String();
        expect(old.equals("1"), "the first version: " + old);
    }

    /** The SDK makes classes of errors from the codes. */
    private void errors() {
        fails(NoSuchKeyException.class, "NoSuchKey", () -> get("nowhere"));
        fails(NoSuchBucketException.class, "NoSuchBucket", () -> s3.listObjectsV2(r -> r.bucket("no-such-bucket-at-all")));
        fails(S3Exception.class, "PreconditionFailed",
                () -> s3.putObject(r -> r.bucket(bucket).key("copy").ifNoneMatch("*"), RequestBody.empty()));
        fails(S3Exception.class, "BucketNotEmpty", () -> s3.deleteBucket(r -> r.bucket(bucket)));
    }

    private void empty() {
        for (ListObjectVersionsResponse page : s3.listObjectVersionsPaginator(r -> r.bucket(bucket).maxKeys(7))) {
            List<ObjectIdentifier> doomed = new ArrayList<>();
            page.versions().forEach(v -> doomed.add(ObjectIdentifier.builder().key(v.key()).versionId(v.versionId()).build()));
            page.deleteMarkers().forEach(
                    v -> doomed.add(ObjectIdentifier.builder().key(v.key()).versionId(v.versionId()).build()));
            DeleteObjectsResponse done = s3.deleteObjects(r -> r.bucket(bucket).delete(d -> d.objects(doomed)));
            expect(!done.hasErrors(), "everything deleted: " + done.errors());
        }
        s3.deleteBucket(r -> r.bucket(bucket));
    }

    private byte[] get(String key) {
        return s3.getObjectAsBytes(r -> r.bucket(bucket).key(key)).asByteArray();
    }

    private static void fails(Class<? extends S3Exception> kind, String code, Runnable call) {
        try {
            call.run();
        } catch (S3Exception error) {
            String found = error.awsErrorDetails().errorCode();
            expect(kind.isInstance(error) && found.equals(code), code + ", not " + error);
            return;
        }
        throw new AssertionError("not refused with " + code);
    }

    private static byte[] pattern(int size) {
        byte[] body = new byte[size];
        new Random(1).nextBytes(body);
        return body;
    }

    private static void same(byte[] found, byte[] wanted, String what) {
        expect(Arrays.equals(found, wanted), what + ": " + found.length + " bytes differ from the " + wanted.length + " sent");
    }

    private static void expect(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }
}
