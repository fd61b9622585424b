/* Lays the results of wsi_ai on the slide that is open in QuPath (0.5 or later).
 *
 * AI-generated, unverified. Research use only. Not for primary diagnosis.
 *
 * Written by wsi-ai qupath OUT.  Open the slide, then Automate > Script editor, open this file, Run.
 * It replaces what it imported before, which it knows by the class "wsi_ai: ...", and touches
 * nothing else.
 */
import java.security.MessageDigest

def PREFIX = "wsi_ai: "

// The folder of results; change it where they were moved.
File folder = new File('@OUT@')
if (!folder.isDirectory()) {
    throw new RuntimeException("there is no such folder of results: change it at the top of this script")
}
def slide = slideFile()
def digest = sha256(slide)
def runs = runsOf(folder, slide, digest)
if (runs.isEmpty()) {
    println "No results of this slide's bytes in ${folder.name}: it was not run, or its file changed since. Nothing was imported."
    return
}

def old = getAllObjects().findAll { it.getPathClass() != null && it.getPathClass().toString().startsWith(PREFIX) }
removeObjects(old, true)

int count = 0
runs.each { run ->
    def tiles = new File(folder, "qupath/${run.parentFile.name}/${run.name}/tiles.geojson")
    [new File(run, "findings.geojson"), new File(run, "objects.geojson"), tiles].findAll { it.exists() }.each { file ->
        def objects = readObjects(file)
        objects.each { object ->
            def name = object.getPathClass() == null ? "region" : object.getPathClass().toString()
            if (!name.startsWith(PREFIX)) {
                object.setPathClass(getPathClass(PREFIX + name))
            }
            object.setName("AI, unverified (${run.name})")
            object.setLocked(true)
        }
        addObjects(objects)
        count += objects.size()
    }
}
fireHierarchyUpdate()
println "${count} objects of ${runs.size()} models. AI-generated, unverified. Research use only. Not for primary diagnosis."

/** Of a slide in several files, or at an address, there is none: then nothing is imported. */
File slideFile() {
    def uris = getCurrentServer().getURIs()
    if (uris.size() != 1 || uris[0].getScheme() != "file") {
        throw new RuntimeException("the open slide is not a single file: drag findings.geojson onto it")
    }
    return new File(uris[0])
}

String sha256(File file) {
    def digest = MessageDigest.getInstance("SHA-256")
    file.withInputStream { stream ->
        byte[] part = new byte[1 << 20]
        int read
        while ((read = stream.read(part)) > 0) {
            digest.update(part, 0, read)
        }
    }
    return digest.digest().collect { String.format("%02x", it) }.join("")
}

/** Folders OUT/<name>-<8 of the SHA-256>/<model>, whose flag names these very bytes. */
List<File> runsOf(File folder, File slide, String digest) {
    def found = []
    def own = folder.listFiles()?.findAll { it.isDirectory() && it.name.endsWith("-" + digest.substring(0, 8)) } ?: []
    own.each { place ->
        place.listFiles().findAll { it.isDirectory() && !it.name.startsWith(".") }.sort { it.name }.each { run ->
            def flag = new File(run, "flag.json")
            if (flag.exists() && new groovy.json.JsonSlurper().parse(flag).slide.image_sha256 == digest) {
                found << run
            }
        }
    }
    return found
}

def readObjects(File file) {
    return file.withInputStream { qupath.lib.io.PathIO.readObjectsFromGeoJSON(it) }
}
