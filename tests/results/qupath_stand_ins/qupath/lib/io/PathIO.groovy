package qupath.lib.io

import groovy.json.JsonSlurper

/** Of QuPath's class of this name, what the script uses. */
class PathIO {
    static List readObjectsFromGeoJSON(InputStream stream) {
        return new JsonSlurper().parse(stream).features.collect { feature ->
            new Item(name: feature.properties.name, kind: feature.properties.classification.name)
        }
    }
}
