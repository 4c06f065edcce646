// CloudFront's viewer-request function before Amazon Rekognition's API. API Gateway takes Authorization for a signature of its own,
// and the host that the client signed is not the API's: both go on in headers of ours, whatever the client itself sent in these.
function handler(event) {
    var request = event.request;
    var headers = request.headers;
    delete headers['x-candid-authorization'];
    delete headers['x-candid-host'];
    if (headers.authorization) {
        headers['x-candid-authorization'] = headers.authorization;
        delete headers.authorization;
    }
    if (headers.host) {
        headers['x-candid-host'] = { value: headers.host.value };
    }
    return request;
}
