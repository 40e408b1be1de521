/// Valid objects of a repository and valid answers of a server, from which the inputs are made.
enum Examples {
  static let markerKey = "snapshots/demo/000000000004-0123456789abcdef.json"
  private static let digest = String(repeating: "ab", count: 32)

  static let marker = """
    {"added_bytes":1,"bytes":131072,"complete":true,"files":2,"format":1,"id":"0123456789abcdef","kind":"directory","layout":\
    "plain","manifest":{"key":"manifests/demo/000000000004-0123456789abcdef-abababab.json.gz","sha256":"\(digest)","size":900},\
    "metrics":{"eval_loss":0.5,"loss":1e-3},"milestone":false,"note":"n","run":"demo","step":4,"tags":["best"],\
    "time":"2026-11-24T03:42:54Z"}
    """
  static let table = """
    {"chunks":{"id":["\(digest)","\(digest)"],"length":[1000,96],"offset":[0,1000]},"class":"weights","format":1}
    """
  static let ledger = """
    {"format":1,"packs":{"packs/weights/ab/ab12":{"etag":"e","time":"2026-11-24T03:42:54Z"},"packs/training/cd/cd34":\
    {"damaged":true,"time":"2026-11-24T03:42:54Z"}}}
    """
  static let deletions = """
    {"created":"2026-11-24T03:42:54Z","format":1,"objects":["packs/weights/ab/ab12","records/demo/x/record.json"]}
    """
  static let description = """
    {"chunk_size":16777216,"created":"2026-11-24T03:42:54Z","format":1,"id":"0123456789abcdef0123456789abcdef"}
    """
  static let record = """
    {"format":1,"id":"0123456789abcdef","run":"demo","step":4,"time":"2026-11-24T03:42:54Z","layout":"plain","complete":true,\
    "remarks":["r"],"metrics":{"loss":0.5},"best":{"metric":"eval_loss","value":0.5,"step":4},"resumable":true,"hyperparameters":\
    {"config.json":{"a":[1,2.5,"x",null,true]}},"results":{},"training_log":[{"step":1,"loss":1}],"versions":{},"provenance":\
    {"host":"h","path":"/p","command":["c"],"program":"1"},"files":[{"name":"config.json","role":"hyperparameters","object":\
    "files/config.json","size":2,"sha256":"\(digest)"}]}
    """

  static let listing = """
    <?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>bucket</Name>\
    <EncodingType>url</EncodingType><IsTruncated>false</IsTruncated><NextContinuationToken>t</NextContinuationToken><Contents>\
    <Key>team/packs/weights/ab/ab%2012</Key><LastModified>2026-11-24T03:42:54.000Z</LastModified><ETag>&quot;0123&quot;</ETag>\
    <Size>1048576</Size></Contents><Contents><Key>team/packs/x</Key><LastModified>2026-11-24T03:42:54Z</LastModified><Size>0</Size>\
    </Contents></ListBucketResult>
    """
  static let uploads = """
    <ListMultipartUploadsResult><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated><NextKeyMarker>team/a</NextKeyMarker>\
    <NextUploadIdMarker>u</NextUploadIdMarker><Upload><Key>team/packs/x</Key><UploadId>u</UploadId><Initiated>2026-11-24T03:42:54Z\
    </Initiated></Upload></ListMultipartUploadsResult>
    """
  static let failure = """
    <?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>words</Message><Region>eu-9</Region></Error>
    """
  static let deleted = """
    <DeleteResult><Deleted><Key>team/a</Key></Deleted><Error><Key>team/b</Key><Code>InternalError</Code><Message>m</Message></Error>\
    </DeleteResult>
    """
  static let begun = "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"
  static let completed =
    "<CompleteMultipartUploadResult><ETag>\"0123-2\"</ETag></CompleteMultipartUploadResult>"

  static let head = """
    200
    Date: Tue, 24 Nov 2026 03:42:54 GMT
    ETag: "d41d8cd98f00b204e9800998ecf8427e"
    Last-Modified: Tue, 24 Nov 2026 03:42:54 GMT
    Content-Length: 10
    Content-Range: bytes 0-9/100
    Retry-After: 7
    x-amz-bucket-region: eu-9


    """
}
