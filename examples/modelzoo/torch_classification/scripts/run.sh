Knight --chip TX5368AV200 build --run-config data/smallnet_config.json
