
CREATE TABLE finished (
	shard INTEGER NOT NULL, 
	upload_id TEXT NOT NULL, 
	partition INTEGER NOT NULL, 
	at INTEGER NOT NULL, 
	record BLOB NOT NULL, 
	PRIMARY KEY (shard, upload_id)
)
 WITHOUT ROWID,
 STRICT


CREATE INDEX finished_by_time ON finished (partition, at)

CREATE TABLE gc (
	partition INTEGER NOT NULL, 
	sequence INTEGER NOT NULL, 
	since INTEGER NOT NULL, 
	is_part INTEGER NOT NULL, 
	record BLOB NOT NULL, 
	PRIMARY KEY (partition, sequence)
)
 WITHOUT ROWID,
 STRICT



CREATE TABLE inline (
	id INTEGER NOT NULL, 
	digest BLOB NOT NULL, 
	data BLOB NOT NULL, 
	PRIMARY KEY (id)
)
 STRICT



CREATE TABLE log (
	partition INTEGER NOT NULL, 
	"index" INTEGER NOT NULL, 
	epoch INTEGER NOT NULL, 
	payload BLOB NOT NULL, 
	PRIMARY KEY (partition, "index")
)
 WITHOUT ROWID,
 STRICT



CREATE TABLE objects (
	shard INTEGER NOT NULL, 
	"key" BLOB NOT NULL, 
	sequence INTEGER NOT NULL, 
	version_id TEXT NOT NULL, 
	is_delete_marker INTEGER NOT NULL, 
	last_modified INTEGER NOT NULL, 
	size INTEGER NOT NULL, 
	etag TEXT NOT NULL, 
	storage_class TEXT NOT NULL, 
	checksum_algorithm TEXT, 
	checksum_type TEXT, 
	owner TEXT NOT NULL, 
	inline_id INTEGER, 
	record BLOB NOT NULL, 
	PRIMARY KEY (shard, "key")
)
 WITHOUT ROWID,
 STRICT



CREATE TABLE partitions (
	partition INTEGER NOT NULL, 
	epoch INTEGER NOT NULL, 
	applied INTEGER NOT NULL, 
	next_sequence INTEGER NOT NULL, 
	fence INTEGER NOT NULL, 
	state_hash BLOB NOT NULL, 
	PRIMARY KEY (partition)
)
 WITHOUT ROWID,
 STRICT



CREATE TABLE parts (
	shard INTEGER NOT NULL, 
	upload_id TEXT NOT NULL, 
	number INTEGER NOT NULL, 
	size INTEGER NOT NULL, 
	etag TEXT NOT NULL, 
	checksum BLOB, 
	crc64nvme BLOB NOT NULL, 
	inline_id INTEGER, 
	record BLOB NOT NULL, 
	PRIMARY KEY (shard, upload_id, number)
)
 WITHOUT ROWID,
 STRICT



CREATE TABLE repair (
	partition INTEGER NOT NULL, 
	data_id BLOB NOT NULL, 
	part INTEGER NOT NULL, 
	since INTEGER NOT NULL, 
	bucket_id BLOB NOT NULL, 
	"key" BLOB NOT NULL, 
	version_id TEXT, 
	upload_id TEXT, 
	record BLOB NOT NULL, 
	PRIMARY KEY (partition, data_id, part)
)
 WITHOUT ROWID,
 STRICT



CREATE TABLE results (
	partition INTEGER NOT NULL, 
	"index" INTEGER NOT NULL, 
	at INTEGER NOT NULL, 
	record BLOB NOT NULL, 
	PRIMARY KEY (partition, "index")
)
 WITHOUT ROWID,
 STRICT



CREATE TABLE shards (
	number INTEGER NOT NULL, 
	bucket_id BLOB NOT NULL, 
	partition INTEGER NOT NULL, 
	is_open INTEGER NOT NULL, 
	versioning TEXT NOT NULL, 
	objects INTEGER NOT NULL, 
	versions INTEGER NOT NULL, 
	delete_markers INTEGER NOT NULL, 
	size_bytes INTEGER NOT NULL, 
	uploads INTEGER NOT NULL, 
	part_bytes INTEGER NOT NULL, 
	PRIMARY KEY (number), 
	UNIQUE (bucket_id, partition), 
	CHECK (objects >= 0 AND versions >= 0 AND size_bytes >= 0 AND part_bytes >= 0)
)
 STRICT



CREATE TABLE uploads (
	shard INTEGER NOT NULL, 
	"key" BLOB NOT NULL, 
	upload_id TEXT NOT NULL, 
	is_touched INTEGER NOT NULL, 
	record BLOB NOT NULL, 
	PRIMARY KEY (shard, "key", upload_id)
)
 WITHOUT ROWID,
 STRICT



CREATE TABLE versions (
	shard INTEGER NOT NULL, 
	"key" BLOB NOT NULL, 
	sequence INTEGER NOT NULL, 
	version_id TEXT NOT NULL, 
	is_delete_marker INTEGER NOT NULL, 
	last_modified INTEGER NOT NULL, 
	size INTEGER NOT NULL, 
	etag TEXT NOT NULL, 
	storage_class TEXT NOT NULL, 
	checksum_algorithm TEXT, 
	checksum_type TEXT, 
	owner TEXT NOT NULL, 
	inline_id INTEGER, 
	record BLOB NOT NULL, 
	PRIMARY KEY (shard, "key", sequence DESC)
)
 WITHOUT ROWID,
 STRICT


CREATE UNIQUE INDEX versions_by_id ON versions (shard, "key", version_id)