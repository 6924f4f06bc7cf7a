// Drives an S3 server with the AWS SDK for Go, version 2, as its users do: settings from the environment, typed errors,
// the transfer manager, presigned URLs. Takes the name of a bucket that does not exist; leaves nothing behind.
// Exits with 1 and a reason at the first answer that is not right.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/s3/manager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"
)

const mib = 1 << 20

type session struct {
	context context.Context
	client  *s3.Client
	web     *http.Client
	bucket  *string
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	settings, err := config.LoadDefaultConfig(ctx, config.WithRetryMaxAttempts(1),
		config.WithLogger(logging.Nop{}))
	must(err)
	client := s3.NewFromConfig(settings, func(options *s3.Options) { options.UsePathStyle = true })
	web := &http.Client{}
	if doer, ok := settings.HTTPClient.(interface{ GetTransport() *http.Transport }); ok {
		web.Transport = doer.GetTransport()
	}
	s := session{ctx, client, web, aws.String(os.Args[1])}
	_, err = client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: s.bucket})
	must(err)
	must(s3.NewBucketExistsWaiter(client).Wait(ctx, &s3.HeadBucketInput{Bucket: s.bucket}, 10*time.Second))
	s.objects()
	s.checksums()
	s.transfers()
	s.presigned()
	s.listings()
	s.versions()
	s.errors()
	s.empty()
}

// objects: a whole object, a part of it, metadata, a copy, tags.
func (s session) objects() {
	body := pattern(300_000)
	put, err := s.client.PutObject(s.context, &s3.PutObjectInput{
		Bucket: s.bucket, Key: aws.String("folder/one ü+"), Body: bytes.NewReader(body),
		ContentType: aws.String("text/x-test"), Metadata: map[string]string{"colour": "blue"},
		Tagging: aws.String("kind=test"),
	})
	must(err)
	got, err := s.client.GetObject(s.context, &s3.GetObjectInput{Bucket: s.bucket, Key: aws.String("folder/one ü+")})
	must(err)
	same(read(got.Body), body, "the object")
	expect(*got.ETag == *put.ETag, "the ETag of GET is that of PUT")
	expect(*got.ContentType == "text/x-test", "the content type")
	expect(got.Metadata["colour"] == "blue", "the metadata")
	part, err := s.client.GetObject(s.context, &s3.GetObjectInput{
		Bucket: s.bucket, Key: aws.String("folder/one ü+"), Range: aws.String("bytes=5-104"),
	})
	must(err)
	same(read(part.Body), body[5:105], "the range")
	_, err = s.client.CopyObject(s.context, &s3.CopyObjectInput{
		Bucket: s.bucket, Key: aws.String("copy"), CopySource: aws.String(*s.bucket + "/folder/one%20%C3%BC%2B"),
	})
	must(err)
	same(s.get("copy"), body, "the copy")
	tags, err := s.client.GetObjectTagging(s.context, &s3.GetObjectTaggingInput{Bucket: s.bucket, Key: aws.String("copy")})
	must(err)
	expect(len(tags.TagSet) == 1 && *tags.TagSet[0].Value == "test", "the tags of the copy")
}

// checksums: every algorithm of the SDK; over https the sum follows the body, over http it stands in a header.
func (s session) checksums() {
	body := pattern(200_000)
	for _, algorithm := range []types.ChecksumAlgorithm{
		types.ChecksumAlgorithmCrc32, types.ChecksumAlgorithmCrc32c, types.ChecksumAlgorithmCrc64nvme,
		types.ChecksumAlgorithmSha1, types.ChecksumAlgorithmSha256,
	} {
		key := aws.String("sum-" + string(algorithm))
		_, err := s.client.PutObject(s.context, &s3.PutObjectInput{
			Bucket: s.bucket, Key: key, Body: bytes.NewReader(body), ChecksumAlgorithm: algorithm,
		})
		must(err)
		got, err := s.client.GetObject(s.context, &s3.GetObjectInput{
			Bucket: s.bucket, Key: key, ChecksumMode: types.ChecksumModeEnabled,
		})
		must(err)
		same(read(got.Body), body, "the object with "+string(algorithm))
	}
	attributes, err := s.client.GetObjectAttributes(s.context, &s3.GetObjectAttributesInput{
		Bucket: s.bucket, Key: aws.String("sum-SHA256"),
		ObjectAttributes: []types.ObjectAttributes{types.ObjectAttributesChecksum, types.ObjectAttributesObjectSize},
	})
	must(err)
	expect(*attributes.ObjectSize == 200_000 && attributes.Checksum.ChecksumSHA256 != nil, "the attributes")
}

// transfers: the transfer manager, up from a pipe of unknown length and down with several ranges at once.
func (s session) transfers() {
	body := pattern(12*mib + 1)
	reader, writer := io.Pipe()
	go func() {
		_, err := writer.Write(body)
		writer.CloseWithError(err)
	}()
	up := manager.NewUploader(s.client, func(u *manager.Uploader) { u.PartSize = 5 * mib; u.Concurrency = 3 })
	done, err := up.Upload(s.context, &s3.PutObjectInput{Bucket: s.bucket, Key: aws.String("large"), Body: reader})
	must(err)
	expect(strings.HasSuffix(*done.ETag, `-3"`), "three parts: "+*done.ETag)
	down := manager.NewDownloader(s.client, func(d *manager.Downloader) { d.PartSize = 5 * mib; d.Concurrency = 3 })
	sink := manager.NewWriteAtBuffer(nil)
	_, err = down.Download(s.context, sink, &s3.GetObjectInput{Bucket: s.bucket, Key: aws.String("large")})
	must(err)
	same(sink.Bytes(), body, "the large object")
}

// presigned: PUT, GET and HEAD by plain HTTP.
func (s session) presigned() {
	signer := s3.NewPresignClient(s.client)
	body := pattern(1000)
	put, err := signer.PresignPutObject(s.context, &s3.PutObjectInput{Bucket: s.bucket, Key: aws.String("signed & sent")})
	must(err)
	s.send(put.Method, put.URL, put.SignedHeader, body)
	get, err := signer.PresignGetObject(s.context, &s3.GetObjectInput{Bucket: s.bucket, Key: aws.String("signed & sent")})
	must(err)
	same(s.send(get.Method, get.URL, get.SignedHeader, nil), body, "the presigned object")
}

func (s session) send(method string, address string, header http.Header, body []byte) []byte {
	request, err := http.NewRequestWithContext(s.context, method, address, bytes.NewReader(body))
	must(err)
	for name, values := range header {
		if name != "Host" {
			request.Header[name] = values
		}
	}
	answer, err := s.web.Do(request)
	must(err)
	said := read(answer.Body)
	expect(answer.StatusCode == 200, fmt.Sprintf("presigned %s: %s %s", method, answer.Status, said))
	return said
}

// listings: pages of two, folders, keys that XML cannot take plainly.
func (s session) listings() {
	keys := []string{"list/a b", "list/a&b", "list/d/1", "list/d/2", "list/\x01", "list/z%"}
	for _, key := range keys {
		_, err := s.client.PutObject(s.context, &s3.PutObjectInput{Bucket: s.bucket, Key: &key, Body: strings.NewReader("")})
		must(err)
	}
	pages := s3.NewListObjectsV2Paginator(s.client, &s3.ListObjectsV2Input{
		Bucket: s.bucket, Prefix: aws.String("list/"), Delimiter: aws.String("/"), MaxKeys: aws.Int32(2),
		EncodingType: types.EncodingTypeUrl,
	})
	found := []string{}
	for pages.HasMorePages() {
		page, err := pages.NextPage(s.context)
		must(err)
		for _, entry := range page.Contents {
			found = append(found, plain(*entry.Key))
		}
		for _, folder := range page.CommonPrefixes {
			found = append(found, plain(*folder.Prefix))
		}
	}
	told := strings.Join(found, ", ")
	_, err := s.client.DeleteObject(s.context, &s3.DeleteObjectInput{Bucket: s.bucket, Key: aws.String("list/\x01")})
	must(err) // listings without that encoding, and DeleteObjects, cannot name it
	expect(told == "list/\x01, list/a b, list/a&b, list/d/, list/z%", "the listing: "+told)
}

// plain undoes the encoding that the listing was asked to use.
func plain(encoded string) string {
	key, err := url.QueryUnescape(encoded)
	must(err)
	return key
}

// versions: what was overwritten and deleted stays to be read.
func (s session) versions() {
	_, err := s.client.PutBucketVersioning(s.context, &s3.PutBucketVersioningInput{
		Bucket:                  s.bucket,
		VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
	})
	must(err)
	key := aws.String("versioned")
	first, err := s.client.PutObject(s.context, &s3.PutObjectInput{Bucket: s.bucket, Key: key, Body: strings.NewReader("1")})
	must(err)
	_, err = s.client.PutObject(s.context, &s3.PutObjectInput{Bucket: s.bucket, Key: key, Body: strings.NewReader("2")})
	must(err)
	gone, err := s.client.DeleteObject(s.context, &s3.DeleteObjectInput{Bucket: s.bucket, Key: key})
	must(err)
	expect(*gone.DeleteMarker, "a delete marker")
	old, err := s.client.GetObject(s.context, &s3.GetObjectInput{Bucket: s.bucket, Key: key, VersionId: first.VersionId})
	must(err)
	same(read(old.Body), []byte("1"), "the first version")
}

// errors: the SDK knows them by type and code.
func (s session) errors() {
	_, err := s.client.GetObject(s.context, &s3.GetObjectInput{Bucket: s.bucket, Key: aws.String("nowhere")})
	var noKey *types.NoSuchKey
	expect(errors.As(err, &noKey), fmt.Sprint("NoSuchKey: ", err))
	_, err = s.client.HeadObject(s.context, &s3.HeadObjectInput{Bucket: s.bucket, Key: aws.String("nowhere")})
	var notFound *types.NotFound
	expect(errors.As(err, &notFound), fmt.Sprint("NotFound: ", err))
	_, err = s.client.ListObjectsV2(s.context, &s3.ListObjectsV2Input{Bucket: aws.String("no-such-bucket-at-all")})
	var noBucket *types.NoSuchBucket
	expect(errors.As(err, &noBucket), fmt.Sprint("NoSuchBucket: ", err))
	_, err = s.client.PutObject(s.context, &s3.PutObjectInput{
		Bucket: s.bucket, Key: aws.String("copy"), Body: strings.NewReader(""), IfNoneMatch: aws.String("*"),
	})
	var coded smithy.APIError
	expect(errors.As(err, &coded) && coded.ErrorCode() == "PreconditionFailed", fmt.Sprint("PreconditionFailed: ", err))
	_, err = s.client.DeleteBucket(s.context, &s3.DeleteBucketInput{Bucket: s.bucket})
	expect(errors.As(err, &coded) && coded.ErrorCode() == "BucketNotEmpty", fmt.Sprint("BucketNotEmpty: ", err))
}

// empty removes every version with DeleteObjects, then the bucket.
func (s session) empty() {
	pages := s3.NewListObjectVersionsPaginator(s.client, &s3.ListObjectVersionsInput{Bucket: s.bucket, MaxKeys: aws.Int32(5)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(s.context)
		must(err)
		doomed := []types.ObjectIdentifier{}
		for _, version := range page.Versions {
			doomed = append(doomed, types.ObjectIdentifier{Key: version.Key, VersionId: version.VersionId})
		}
		for _, marker := range page.DeleteMarkers {
			doomed = append(doomed, types.ObjectIdentifier{Key: marker.Key, VersionId: marker.VersionId})
		}
		done, err := s.client.DeleteObjects(s.context, &s3.DeleteObjectsInput{
			Bucket: s.bucket, Delete: &types.Delete{Objects: doomed},
		})
		must(err)
		expect(len(done.Errors) == 0 && len(done.Deleted) == len(doomed), "everything deleted")
	}
	_, err := s.client.DeleteBucket(s.context, &s3.DeleteBucketInput{Bucket: s.bucket})
	must(err)
}

func (s session) get(key string) []byte {
	got, err := s.client.GetObject(s.context, &s3.GetObjectInput{Bucket: s.bucket, Key: &key})
	must(err)
	return read(got.Body)
}

// pattern returns bytes that repeat at no small distance.
func pattern(size int) []byte {
	body := make([]byte, size)
	state := uint32(1)
	for i := range body {
		state = state*1664525 + 1013904223
		body[i] = byte(state >> 24)
	}
	return body
}

func read(body io.ReadCloser) []byte {
	defer body.Close()
	content, err := io.ReadAll(body)
	must(err)
	return content
}

func same(found []byte, wanted []byte, what string) {
	expect(bytes.Equal(found, wanted), fmt.Sprintf("%s: %d bytes that differ from the %d sent", what, len(found), len(wanted)))
}

func expect(holds bool, what string) {
	if !holds {
		fmt.Fprintln(os.Stderr, "not as it must be:", what)
		os.Exit(1)
	}
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "failed:", err)
		os.Exit(1)
	}
}
